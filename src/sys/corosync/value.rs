//! A value of a map.

use super::ffi;
use std::ffi::c_void;

/// No longer value is taken. corosync itself has 16 KiB (`ICMAP_MAX_VALUE_LEN`), and a message of the
/// libraries 1 MiB.
pub(super) const VALUE_MAX: usize = 1 << 20;

/// The key whose value nobody is shown.
pub(super) const SECRET_KEY: &str = "totem.key";

/// A value of a map, with its type.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// 8 bits, signed.
    I8(i8),
    /// 8 bits, unsigned.
    U8(u8),
    /// 16 bits, signed.
    I16(i16),
    /// 16 bits, unsigned.
    U16(u16),
    /// 32 bits, signed.
    I32(i32),
    /// 32 bits, unsigned.
    U32(u32),
    /// 64 bits, signed.
    I64(i64),
    /// 64 bits, unsigned.
    U64(u64),
    /// Single precision.
    F32(f32),
    /// Double precision.
    F64(f64),
    /// A string, up to its NUL; bytes that are not UTF-8 are replaced.
    Text(String),
    /// Binary; also what has a type that we do not know, or a length that its type does not have.
    Bytes(Vec<u8>),
}

impl Value {
    /// What stands in place of a secret.
    pub(super) fn secret() -> Value {
        Value::Text("(secret)".to_owned())
    }

    /// A value as the library gives it.
    pub(super) fn decode(kind: u32, bytes: &[u8]) -> Value {
        macro_rules! number {
            ($variant:ident, $ty:ty) => {
                bytes
                    .try_into()
                    .ok()
                    .map(|raw| Value::$variant(<$ty>::from_ne_bytes(raw)))
            };
        }
        let value = match kind {
            ffi::CMAP_VALUETYPE_INT8 => number!(I8, i8),
            ffi::CMAP_VALUETYPE_UINT8 => number!(U8, u8),
            ffi::CMAP_VALUETYPE_INT16 => number!(I16, i16),
            ffi::CMAP_VALUETYPE_UINT16 => number!(U16, u16),
            ffi::CMAP_VALUETYPE_INT32 => number!(I32, i32),
            ffi::CMAP_VALUETYPE_UINT32 => number!(U32, u32),
            ffi::CMAP_VALUETYPE_INT64 => number!(I64, i64),
            ffi::CMAP_VALUETYPE_UINT64 => number!(U64, u64),
            ffi::CMAP_VALUETYPE_FLOAT => number!(F32, f32),
            ffi::CMAP_VALUETYPE_DOUBLE => number!(F64, f64),
            ffi::CMAP_VALUETYPE_STRING => {
                let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
                let text = String::from_utf8_lossy(&bytes[..end]).into_owned();
                Some(Value::Text(text))
            }
            _ => None,
        };
        value.unwrap_or_else(|| Value::Bytes(bytes.to_vec()))
    }

    /// Hands type, address and length to a function of the library; of a string without a NUL.
    pub(super) fn encoded<T>(&self, call: impl FnOnce(u32, *const c_void, usize) -> T) -> T {
        macro_rules! number {
            ($kind:ident, $n:expr) => {{
                let raw = $n.to_ne_bytes();
                call(ffi::$kind, raw.as_ptr().cast(), raw.len())
            }};
        }
        match self {
            Value::I8(n) => number!(CMAP_VALUETYPE_INT8, n),
            Value::U8(n) => number!(CMAP_VALUETYPE_UINT8, n),
            Value::I16(n) => number!(CMAP_VALUETYPE_INT16, n),
            Value::U16(n) => number!(CMAP_VALUETYPE_UINT16, n),
            Value::I32(n) => number!(CMAP_VALUETYPE_INT32, n),
            Value::U32(n) => number!(CMAP_VALUETYPE_UINT32, n),
            Value::I64(n) => number!(CMAP_VALUETYPE_INT64, n),
            Value::U64(n) => number!(CMAP_VALUETYPE_UINT64, n),
            Value::F32(n) => number!(CMAP_VALUETYPE_FLOAT, n),
            Value::F64(n) => number!(CMAP_VALUETYPE_DOUBLE, n),
            Value::Text(s) => call(ffi::CMAP_VALUETYPE_STRING, s.as_ptr().cast(), s.len()),
            Value::Bytes(b) => call(ffi::CMAP_VALUETYPE_BINARY, b.as_ptr().cast(), b.len()),
        }
    }

    /// The value of an integer of any width that is not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Value::I8(n) => n.try_into().ok(),
            Value::U8(n) => Some(n.into()),
            Value::I16(n) => n.try_into().ok(),
            Value::U16(n) => Some(n.into()),
            Value::I32(n) => n.try_into().ok(),
            Value::U32(n) => Some(n.into()),
            Value::I64(n) => n.try_into().ok(),
            Value::U64(n) => Some(n),
            Value::F32(_) | Value::F64(_) | Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    /// As corosync-cmapctl prints it; of a binary value the length alone.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Value::I8(n) => n.to_string(),
            Value::U8(n) => n.to_string(),
            Value::I16(n) => n.to_string(),
            Value::U16(n) => n.to_string(),
            Value::I32(n) => n.to_string(),
            Value::U32(n) => n.to_string(),
            Value::I64(n) => n.to_string(),
            Value::U64(n) => n.to_string(),
            Value::F32(n) => float((*n).into()),
            Value::F64(n) => float(*n),
            Value::Text(s) => s.clone(),
            Value::Bytes(b) => format!("binary, {} bytes", b.len()),
        }
    }
}

/// As `%f` of printf(3).
fn float(n: f64) -> String {
    match (n.is_nan(), n.is_sign_negative()) {
        (true, false) => "nan".to_owned(),
        (true, true) => "-nan".to_owned(),
        (false, _) => format!("{n:.6}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round(value: &Value) -> Value {
        value.encoded(|kind, data, len| {
            // SAFETY: the address and the length of the value that is borrowed here.
            #[allow(unsafe_code)]
            let bytes = unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) };
            Value::decode(kind, bytes)
        })
    }

    #[test]
    fn each_type_comes_back_as_it_went() {
        for value in [
            Value::I8(-1),
            Value::U8(255),
            Value::I16(i16::MIN),
            Value::U16(u16::MAX),
            Value::I32(i32::MIN),
            Value::U32(u32::MAX),
            Value::I64(i64::MIN),
            Value::U64(u64::MAX),
            Value::F32(1.5),
            Value::F64(-0.25),
            Value::Text(String::new()),
            Value::Text("ä b".to_owned()),
            Value::Bytes(Vec::new()),
            Value::Bytes(vec![0; 70_000]),
        ] {
            assert_eq!(round(&value), value);
        }
    }

    #[test]
    fn a_string_ends_at_its_nul_or_where_it_ends_and_need_not_be_utf8() {
        let text = |bytes: &[u8]| Value::decode(ffi::CMAP_VALUETYPE_STRING, bytes).text();
        assert_eq!(text(b"abc\0"), "abc");
        assert_eq!(text(b"abc"), "abc");
        assert_eq!(text(b"a\0bc\0"), "a");
        assert_eq!(text(b"\0"), "");
        assert_eq!(text(b""), "");
        assert_eq!(text(b"a\xff"), "a\u{fffd}");
    }

    #[test]
    fn a_length_that_the_type_does_not_have_and_an_unknown_type_are_bytes() {
        for (kind, len) in [
            (1, 0),
            (2, 2),
            (6, 3),
            (8, 4),
            (9, 8),
            (10, 4),
            (0, 5),
            (13, 1),
        ] {
            let value = Value::decode(kind, &vec![7; len]);
            assert_eq!(value, Value::Bytes(vec![7; len]));
            assert_eq!(value.text(), format!("binary, {len} bytes"));
        }
        assert_eq!(Value::decode(u32::MAX, &[]), Value::Bytes(Vec::new()));
    }

    #[test]
    fn numbers_of_every_width_that_are_not_negative() {
        assert_eq!(Value::I8(-1).as_u64(), None);
        assert_eq!(Value::I64(7).as_u64(), Some(7));
        assert_eq!(Value::U8(7).as_u64(), Some(7));
        assert_eq!(Value::U64(u64::MAX).as_u64(), Some(u64::MAX));
        assert_eq!(Value::F64(7.0).as_u64(), None);
        assert_eq!(Value::Text("7".to_owned()).as_u64(), None);
    }

    #[test]
    fn text_is_as_corosync_cmapctl_prints_it() {
        assert_eq!(Value::I32(-5).text(), "-5");
        assert_eq!(Value::F32(2.5).text(), "2.500000");
        assert_eq!(Value::Bytes(b"key".to_vec()).text(), "binary, 3 bytes");
    }

    proptest! {
        #[test]
        fn any_type_and_any_bytes_decode_without_a_panic(
            kind in prop_oneof![0u32..16, any::<u32>()],
            bytes in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let value = Value::decode(kind, &bytes);
            let _ = value.text();
            let _ = value.as_u64();
            if let Value::Bytes(b) = value {
                prop_assert_eq!(b, bytes);
            }
        }
    }
}
