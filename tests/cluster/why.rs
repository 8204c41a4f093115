//! `why`: faults that are put into real nodes, and the first verdict of each.

use crate::bed::{formed, token, up_edited, well};
use crate::common::{Lab, Node, degraded, stays, until};
use serde_json::Value;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

const CONF: &str = "/etc/corosync/corosync.conf";

/// Waits until the first verdict is this one; holds that the exit code goes with it, and that the
/// report has these words.
#[track_caller]
fn says(node: &Node<'_>, code: &str, words: &[&str]) {
    let mut last = String::new();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    loop {
        let ran = node.ctl(&["why", "--json"]);
        let report: Value = serde_json::from_str(&ran.out).unwrap();
        let first = &report["verdicts"][0];
        assert_eq!(ran.code == 0, first["code"] == "healthy", "{ran:?}");
        assert_eq!(ran.code == 0, report["ok"] == true, "{ran:?}");
        let text = first.to_string();
        if first["code"] == code && words.iter().all(|w| text.contains(w)) {
            assert!(code == "healthy" || first["what_to_do"][0].is_string());
            return;
        }
        assert!(
            std::time::Instant::now() < deadline,
            "{} does not say {code} with {words:?}: {last}",
            node.name
        );
        last = ran.out;
        crate::common::pause(Duration::from_millis(100));
    }
}

#[test]
fn a_node_alone_says_what_keeps_its_corosync_down_or_troubles_it() {
    let flags = [
        "--poll-interval",
        "0.2",
        "--hang-timeout",
        "1",
        "--restart-limit",
        "2/60",
        "--corosync-bin",
        "/tmp/corosync",
        "--stable-after",
        "3",
    ];
    let lab = Lab::up("why-alone", "1 --no-clusmgr", &[]);
    let n1 = lab.node(1);
    let real = "#!/bin/bash\nexec corosync \"$@\"\n";
    let program = |text: &str| {
        n1.put("/tmp/corosync.text", text);
        let perms = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(n1.file("/tmp/corosync.text"), perms).unwrap();
        n1.sh("cp -p /tmp/corosync.text /tmp/corosync.new && mv /tmp/corosync.new /tmp/corosync")
            .ok();
    };
    program(real);
    let good = n1.read(CONF);
    let key = n1.read("/etc/corosync/authkey");
    n1.sh("rm /etc/corosync/*").ok();
    n1.start_daemon(&flags);
    says(&n1, "not-configured", &[CONF]);

    n1.put("/etc/corosync/authkey", &key);
    n1.put(CONF, &good);
    says(&n1, "healthy", &["1 of 1 nodes are members"]);

    n1.put(CONF, [good.as_slice(), b"# edited\n"].concat());
    says(&n1, "drift", &["config adopt"]);
    n1.put(CONF, &good);
    says(&n1, "healthy", &[]);

    n1.ctl(&["stop", "--wait"]).ok();
    says(&n1, "held", &["clusmgrctl start"]);
    let lines = good.iter().filter(|b| **b == b'\n').count();
    n1.put(CONF, [good.as_slice(), b"}\n"].concat());
    n1.ctl(&["start", "--no-wait"]);
    says(&n1, "bad-config", &[&format!("line {}", lines + 1), CONF]);
    n1.put(CONF, &good);
    says(&n1, "healthy", &[]);

    n1.sh("rm /tmp/corosync").ok();
    n1.kill("KILL", n1.pid());
    says(&n1, "no-binary", &["/tmp/corosync"]);
    program("#!/bin/bash\necho 'the disk is on fire' >&2\nexit 9\n");
    says(&n1, "crash-loop", &["the disk is on fire"]);
    program(real);
    n1.ctl(&["start", "--no-wait"]);
    says(&n1, "healthy", &[]);

    // It hangs again as soon as it is back.
    let pid = n1.pid();
    n1.kill("STOP", pid);
    until("it is replaced", Duration::from_secs(30), || {
        let ran = n1.ctl(&["why", "--json"]);
        ran.out.contains("\"hung\"").then_some(())
    });
    says(&n1, "healthy", &[]);

    // Somebody holds the pid file when corosync is to start.
    n1.ctl(&["stop", "--wait"]).ok();
    let lock = "import fcntl,time; f=open('/run/corosync.pid','r+' if __import__('os').path.exists('/run/corosync.pid') else 'w+'); fcntl.lockf(f, fcntl.LOCK_EX); f.write(str(__import__('os').getpid())+'\\n'); f.flush(); time.sleep(600)";
    n1.put("/tmp/lock.py", lock);
    let holder = n1.spawn("python3 /tmp/lock.py");
    until("it is held", Duration::from_secs(20), || {
        let ran = n1.sh("cat /run/corosync.pid");
        (ran.out.trim() == holder.to_string()).then_some(())
    });
    n1.ctl(&["start", "--no-wait"]);
    says(&n1, "pid-file-held", &[&holder.to_string()]);
    n1.kill("KILL", holder);
    n1.ctl(&["start", "--no-wait"]);
    says(&n1, "healthy", &[]);
}

#[test]
fn a_node_among_others_says_who_is_missing_and_which_link_is_down() {
    let flags = ["--poll-interval", "0.2"];
    let lab = up_edited("why-others", (3, 2), &flags, token(3000));
    formed(&lab, 3);
    let [n1, n2, n3] = [1, 2, 3].map(|k| lab.node(k));
    says(
        &n1,
        "healthy",
        &["3 of 3 nodes are members", "links connected"],
    );

    lab.verb(&["cut", "n1", "n2", "1"]).ok();
    says(&n1, "link-down", &["link 1 to n2"]);
    says(&n3, "healthy", &[]);
    lab.verb(&["heal"]).ok();
    says(&n1, "healthy", &[]);

    n3.ctl(&["stop", "--wait"]).ok();
    // knet calls its links connected for a while longer.
    until("n3 is away", Duration::from_secs(30), || {
        let ran = n1.ctl(&["why", "--json"]);
        let heard = ran.out.contains("connected-but-no-member");
        assert!(!heard, "{}", ran.out);
        ran.out.contains("\"no-link\"").then_some(())
    });
    says(&n1, "no-link", &["n3"]);
    // Of this node itself that says nothing.
    let down = |s: &Value| {
        let links = s["links"].as_array().unwrap();
        let mut to_3 = links.iter().filter(|l| l["nodeid"] == 3);
        to_3.all(|l| l["connected"] == false)
    };
    n1.wait("both links to n3 are down", down);
    stays("not degraded", Duration::from_secs(2), || {
        let s = n1.status();
        down(&s) && !degraded(&s).contains(&"link-down")
    });
    lab.verb(&["cut", "n1"]).ok();
    says(&n1, "not-quorate", &["n2 and n3 missing", "1 of 2 votes"]);
    n1.wait("alone", |s| s["cluster"]["quorate"] == false);
    lab.verb(&["heal"]).ok();
    n3.ctl(&["start", "--wait"]).ok();
    for n in [&n1, &n2, &n3] {
        n.wait("together", |s| well(s, 3));
        says(n, "healthy", &[]);
    }
}
