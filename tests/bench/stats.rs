//! Samples, and tables of them.

use std::time::Duration;

/// What was measured, in one unit.
#[derive(Debug, Default, Clone)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        let at = self.0.partition_point(|v| *v < value);
        self.0.insert(at, value);
    }

    /// Of many, in any order.
    pub fn of(mut values: Vec<f64>) -> Samples {
        values.sort_unstable_by(f64::total_cmp);
        Samples(values)
    }

    pub fn push_ms(&mut self, time: Duration) {
        self.push(time.as_secs_f64() * 1e3);
    }

    /// How many are not above a value.
    pub fn within(&self, most: f64) -> usize {
        self.0.partition_point(|v| *v <= most)
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value that this many percent are not above, interpolated.
    pub fn percentile(&self, percent: u8) -> f64 {
        let last = self.0.len() - 1;
        // A hundredth of an index is exact enough, and stays within the integers.
        let at = last * usize::from(percent);
        let (low, part) = (at / 100, at % 100);
        let high = (low + 1).min(last);
        let part = f64::from(u8::try_from(part).unwrap()) / 100.0;
        self.0[low] + (self.0[high] - self.0[low]) * part
    }

    pub fn median(&self) -> f64 {
        self.percentile(50)
    }
}

/// One line of a table; `target` is empty where there is nothing to reach.
pub struct Row<'a> {
    pub what: &'a str,
    pub samples: &'a Samples,
    pub target: String,
    pub reached: Option<bool>,
}

impl<'a> Row<'a> {
    /// Something to compare with.
    pub fn other(what: &'a str, samples: &'a Samples) -> Row<'a> {
        Row {
            what,
            samples,
            target: String::new(),
            reached: None,
        }
    }

    pub fn judged(what: &'a str, samples: &'a Samples, target: &str, reached: bool) -> Row<'a> {
        Row {
            what,
            samples,
            target: target.to_owned(),
            reached: Some(reached),
        }
    }
}

pub fn table(title: &str, unit: &str, rows: &[Row<'_>]) {
    println!("\n{title} ({unit})");
    println!(
        "  {:<34} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9}   target",
        "", "n", "min", "p25", "median", "p75", "p99", "max"
    );
    for row in rows {
        let s = row.samples;
        let verdict = match row.reached {
            Some(true) => ": reached",
            Some(false) => ": MISSED",
            None => "",
        };
        println!(
            "  {:<34} {:>6} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3} {:>9.3}   {}{verdict}",
            row.what,
            s.len(),
            s.percentile(0),
            s.percentile(25),
            s.median(),
            s.percentile(75),
            s.percentile(99),
            s.percentile(100),
            row.target,
        );
    }
}

/// A line below a table.
pub fn remark(text: &str) {
    println!("  {text}");
}
