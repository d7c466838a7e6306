//! Goal: the code keeps the shape that ARCHITECTURE.md draws and the size that a reader can take
//! in, and the documents say what the code does.
//!
//! Method: every source file is read as text; the command table and `--help` are compared with
//! README.md. A rule is broken only where the reason stands beside it, in the lists below.

use std::fs;
use std::path::{Path, PathBuf};

use meilies_protocol::table;
use meilies_tests::process::run_to_end;

const COLUMNS_MAX: usize = 100;
const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const CRATES: [&str; 5] = [
    "meilies-protocol",
    "meilies-server",
    "meilies-client",
    "meilies-cli",
    "tests",
];

/// Layers of the server from the top down: a module may name only those below it, and those that
/// have no layer (the leaves).
const LAYERS: [&[&str]; 6] = [
    &["main"],
    &["server", "shutdown"],
    &["connection"],
    &["command"],
    &["event_log"],
    &["engine"],
];

#[test]
fn every_file_begins_with_what_it_is_for() {
    for file in sources() {
        assert!(
            file.text.starts_with("//!"),
            "{} has no //! header",
            file.name
        );
    }
}

#[test]
fn lines_files_and_functions_have_a_size_that_can_be_read() {
    let mut faults = Vec::new();
    for file in sources() {
        for (index, line) in file.text.lines().enumerate() {
            if line.chars().count() > COLUMNS_MAX {
                faults.push(format!(
                    "{}:{}: more than 100 columns",
                    file.name,
                    index + 1
                ));
            }
        }
        let lines = file.product.lines().count();
        if lines > FILE_LINES_MAX {
            faults.push(format!("{}: {lines} lines without tests", file.name));
        }
        for (name, lines) in functions(&file.product) {
            if lines > FUNCTION_LINES_MAX {
                faults.push(format!("{}: fn {name} has {lines} lines", file.name));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn nothing_is_left_half_done() {
    // Written so that this file does not find itself.
    let anywhere = [
        ["to", "do!("],
        ["unimple", "mented!("],
        ["db", "g!("],
        ["#[ig", "nore"],
    ];
    let mut faults = Vec::new();
    for file in sources() {
        for word in anywhere.map(|parts| parts.concat()) {
            if file.text.contains(&word) {
                faults.push(format!("{}: {word}", file.name));
            }
        }
        if !file.name.starts_with("tests/") && file.product.contains(".unwrap()") {
            faults.push(format!("{}: .unwrap()", file.name));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn tests_wait_for_events() {
    for file in sources()
        .iter()
        .filter(|file| file.name.starts_with("tests/"))
    {
        let word = ["thread::sl", "eep("].concat();
        assert!(!file.text.contains(&word), "{} sleeps", file.name);
    }
}

#[test]
fn a_dependency_is_named_in_one_place() {
    expect_only(
        "sled",
        "meilies-",
        &["meilies-server/src/engine/local/index"],
    );
    expect_only("redis_protocol", "meilies-", &["meilies-protocol/src/resp"]);
    expect_only("clap", "meilies-server/", &["meilies-server/src/config"]);
    for reading in [
        "env::args",
        "env::args_os",
        "env::var",
        "env::var_os",
        "env::vars",
    ] {
        expect_only(reading, "meilies-server/", &["meilies-server/src/config"]);
    }
    for network in ["tokio", "std::net", "std::fs", "std::io", "std::thread"] {
        expect_only(network, "meilies-protocol/", &[]);
    }
}

#[test]
fn modules_of_the_server_name_only_what_is_below_them() {
    let mut faults = Vec::new();
    for file in sources() {
        let Some(path) = file.name.strip_prefix("meilies-server/src/") else {
            continue;
        };
        let module = path
            .split(['/', '.'])
            .next()
            .expect("a path has a first part");
        let Some(own) = layer_of(module) else {
            continue;
        };
        for line in code_lines(&file.product) {
            for other in LAYERS.iter().take(own).flat_map(|layer| layer.iter()) {
                if names(line, &format!("crate::{other}")) {
                    faults.push(format!("{}: {}", file.name, line.trim()));
                }
            }
        }
    }
    assert!(
        faults.is_empty(),
        "a layer names one above it:\n{}",
        faults.join("\n")
    );
}

#[test]
fn leaves_name_no_layer() {
    let mut faults = Vec::new();
    for leaf in ["config", "limits", "metrics", "error"] {
        for file in sources() {
            let in_leaf = [".rs", "/"].iter().any(|end| {
                file.name
                    .starts_with(&format!("meilies-server/src/{leaf}{end}"))
            });
            if !in_leaf {
                continue;
            }
            for line in code_lines(&file.product) {
                let layers = LAYERS.iter().flat_map(|layer| layer.iter());
                for layer in layers.filter(|layer| names(line, &format!("crate::{layer}"))) {
                    faults.push(format!("{}: names {layer}", file.name));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn the_readme_shows_the_command_table() {
    let readme = document("README.md");
    for command in table::commands() {
        let row = format!("`{} {}`", command.name.to_uppercase(), command.syntax);
        let row = row.replace(" `", "`").replace('|', "\\|");
        assert!(readme.contains(&row), "README.md has no {row}");
    }
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `"));
    for row in rows {
        let name: String = row
            .chars()
            .take_while(|c| c.is_ascii_uppercase() || *c == '-')
            .collect();
        let known = name.is_empty() || table::find(name.as_bytes()).is_some();
        assert!(
            known,
            "README.md shows {name}, which the table does not have"
        );
    }
}

#[test]
fn the_readme_explains_every_flag() {
    let readme = document("README.md");
    let help = run_to_end(&["--help"], &[]).stdout;
    let flags = help
        .split_whitespace()
        .filter(|word| word.starts_with("--"));
    for flag in flags {
        let flag = flag.trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
        assert!(
            readme.contains(&format!("`{flag}")),
            "README.md does not explain {flag}"
        );
    }
}

#[test]
fn documents_and_crates_are_complete() {
    for name in [
        "README.md",
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "LICENSE",
    ] {
        assert!(!document(name).trim().is_empty(), "{name} is empty");
    }
    for name in CRATES {
        let manifest = document(&format!("{name}/Cargo.toml"));
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{name} has lints of its own"
        );
    }
    let workspace = document("Cargo.toml");
    assert!(workspace.contains("unsafe_code = \"forbid\""));
}

/// A source file: all of it, and the part in front of its tests.
struct Source {
    name: String,
    text: String,
    product: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn document(name: &str) -> String {
    let path = root().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn sources() -> Vec<Source> {
    let mut paths = Vec::new();
    for name in CRATES {
        collect(&root().join(name), &mut paths);
    }
    paths.sort();
    assert!(paths.len() > 50, "only {} files were found", paths.len());
    paths.iter().map(|path| source(path)).collect()
}

fn collect(directory: &Path, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("the crates can be listed") {
        let path = entry.expect("the crates can be listed").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, paths);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
}

fn source(path: &Path) -> Source {
    let text = fs::read_to_string(path).expect("sources can be read");
    let name = path
        .strip_prefix(root())
        .expect("it was found there")
        .display()
        .to_string();
    let of_tests = name.ends_with("tests.rs") || name.contains("/tests/");
    let product = match text.find("\n#[cfg(test)]\nmod ") {
        _ if of_tests => String::new(),
        // A module of tests in a file of its own is declared in the middle or at the end.
        Some(at) if text[at..].contains("mod tests {") => text[..at].to_owned(),
        _ => text.clone(),
    };
    Source {
        name,
        text,
        product,
    }
}

/// Names and lengths of the functions, by the indentation that rustfmt gives them.
fn functions(text: &str) -> Vec<(String, usize)> {
    let mut functions = Vec::new();
    let mut open: Option<(String, usize, usize)> = None;
    for (index, line) in text.lines().enumerate() {
        let indent = line.len() - line.trim_start().len();
        match &open {
            None => {
                if let Some(name) = function_name(line.trim_start()) {
                    open = Some((name, indent, index));
                }
            }
            Some((name, start_indent, start)) => {
                let at_start = indent == *start_indent && !line.trim().is_empty();
                if at_start && line.trim() == "}" {
                    functions.push((name.clone(), index - start + 1));
                }
                // A declaration without a body ends with its signature.
                if at_start && (line.trim() == "}" || line.ends_with(';')) {
                    open = None;
                }
            }
        }
    }
    functions
}

fn function_name(line: &str) -> Option<String> {
    if line.ends_with(';') || (line.contains('{') && line.ends_with('}')) {
        return None;
    }
    let at = if line.starts_with("fn ") {
        0
    } else {
        line.find(" fn ")? + 1
    };
    let before = &line[..at];
    let qualifiers = ["pub ", "pub(crate) ", "pub(super) ", "async ", "const ", ""];
    let mut rest = before;
    while !rest.is_empty() {
        let qualifier = qualifiers
            .iter()
            .find(|q| !q.is_empty() && rest.starts_with(**q))?;
        rest = &rest[qualifier.len()..];
    }
    let name = line[at + 3..]
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_');
    Some(name.collect())
}

fn code_lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// Whether a line names a path, and not only something that begins alike.
fn names(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let after = line[at + path.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

fn expect_only(path: &str, within: &str, allowed: &[&str]) {
    for file in sources()
        .iter()
        .filter(|file| file.name.starts_with(within))
    {
        if allowed.iter().any(|start| file.name.starts_with(start)) {
            continue;
        }
        for line in code_lines(&file.product) {
            // A word in a message is no use of a crate.
            let code = line
                .split('"')
                .next()
                .expect("split gives one part at least");
            let called = code.contains(&format!("{path}::")) || code.contains(&format!("{path}("));
            let uses = names(code, path) && (called || code.trim() == format!("use {path};"));
            assert!(!uses, "{} names {path}: {}", file.name, line.trim());
        }
    }
}

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}
