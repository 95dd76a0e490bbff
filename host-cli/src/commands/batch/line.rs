//! One line of a batch: a task as a JSON object. What is not known is refused, not passed over.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use sandtrap::{Codec, Order, Payload, Priority, Stdin, Task, TaskId, Value, parse_duration};
use serde_json::value::RawValue;
use serde_json::{Map, Value as Json};

use crate::args::argument;

/// A task, and the program it is for.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) program: OsString,
    pub(super) order: Order,
    pub(super) timeout: Option<Duration>,
}

const KEYS: [&str; 13] = [
    "id",
    "program",
    "args",
    "stdin",
    "function",
    "arguments",
    "input",
    "idempotent",
    "priority",
    "device",
    "breaker",
    "timeout",
    "queue_time",
];

/// A line as it is to be.
pub(super) const EXAMPLE: &str = r#"{"program": "./parser", "args": ["one.txt"]}"#;

/// The name of a task that has no `id`: the same each time the same lines are run.
pub(super) fn usual_id(number: usize) -> String {
    format!("line-{number}")
}

/// The names that lines have had so far. Two tasks of one name can't be told apart by their reports.
#[derive(Default)]
pub(super) struct Names {
    /// Those that were given, and on which line.
    given: HashMap<String, usize>,
    /// The lines that have their usual one.
    usual: HashSet<usize>,
}

impl Names {
    /// Takes one more, if no line before has it.
    pub(super) fn take(&mut self, line: &Line, number: usize) -> anyhow::Result<()> {
        let name = line.order.task.id.to_string();
        let before = match name == usual_id(number) {
            true => {
                self.usual.insert(number);
                self.given.get(&name).copied()
            }
            false => {
                let usual = name.strip_prefix("line-").and_then(|it| it.parse().ok());
                let usual = usual.filter(|it| self.usual.contains(it) && usual_id(*it) == name);
                usual.or_else(|| self.given.insert(name.clone(), number))
            }
        };
        match before {
            None => Ok(()),
            Some(before) => bail!(
                "its `id` is that of line {before}, too (`{name}`), and --resume knows by it what was done; give it another one"
            ),
        }
    }
}

/// Reads one line as it came. A blank one is none. `breaks` says whether there are breakers that it may name.
pub(super) fn of(bytes: &[u8], number: usize, breaks: bool) -> anyhow::Result<Option<Line>> {
    let text = str::from_utf8(bytes).context("it is no UTF-8 text")?.trim();
    if text.is_empty() { Ok(None) } else { read(text, number, breaks).map(Some) }
}

/// Reads one line.
fn read(text: &str, number: usize, breaks: bool) -> anyhow::Result<Line> {
    let json: Json = serde_json::from_str(text).map_err(|error| {
        // It counts the lines of this text, which is one of many.
        let place = format!(" at line {} column {}", error.line(), error.column());
        let words = error.to_string().replace(&place, "");
        anyhow!("it is no JSON: {words} at column {}", error.column())
    })?;
    let Json::Object(map) = json else { bail!("it is JSON, and no object") };
    if let Some(unknown) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
        bail!("there is no key `{unknown}`; a task has {}", KEYS.join(", "));
    }
    let program = string(&map, "program")?.context("`program` is missing")?;
    let mut task = match string(&map, "function")? {
        Some(function) => {
            without(&map, &["args", "stdin"], "function")?;
            if map.contains_key("input") {
                without(&map, &["arguments"], "input")?;
                Task::invoke_with(function, input(text)?)
            } else {
                Task::call(function, values(&map)?)
            }
        }
        None => {
            without(&map, &["arguments", "input"], "args")?;
            Task::command(strings(&map, "args")?).stdin(stdin(&map)?)
        }
    };
    let id = string(&map, "id")?.map_or_else(|| usual_id(number), str::to_owned);
    task.id = TaskId::named(id);
    let time = |key| anyhow::Ok(string(&map, key)?.map(parse_duration).transpose()?);
    let timeout = time("timeout").context("`timeout`")?;
    let mut order = Order::new(task).priority(priority(&map)?);
    order.idempotent = flag(&map, "idempotent")?;
    order.device = string(&map, "device")?.map(Into::into);
    order.breaker = string(&map, "breaker")?.map(Into::into);
    if order.breaker.is_some() && !breaks {
        bail!("`breaker` names one that is not there: write [breaker] into a file for --config");
    }
    order.queue_time = time("queue_time").context("`queue_time`")?;
    Ok(Line { program: program.into(), order, timeout })
}

fn string<'a>(map: &'a Map<String, Json>, key: &str) -> anyhow::Result<Option<&'a str>> {
    match map.get(key) {
        None => Ok(None),
        Some(Json::String(text)) => Ok(Some(text)),
        Some(_) => Err(anyhow!("`{key}` is a text")),
    }
}

fn strings<'a>(map: &'a Map<String, Json>, key: &str) -> anyhow::Result<Vec<&'a str>> {
    let Some(list) = map.get(key) else { return Ok(Vec::new()) };
    let texts = list.as_array().and_then(|list| list.iter().map(Json::as_str).collect());
    texts.with_context(|| format!("`{key}` is a list of texts"))
}

fn flag(map: &Map<String, Json>, key: &str) -> anyhow::Result<bool> {
    match map.get(key) {
        None => Ok(false),
        Some(Json::Bool(flag)) => Ok(*flag),
        Some(_) => Err(anyhow!("`{key}` is true or false")),
    }
}

fn values(map: &Map<String, Json>) -> anyhow::Result<Vec<Value>> {
    let texts = strings(map, "arguments")?;
    texts
        .into_iter()
        .map(|text| argument(text).map_err(|error| anyhow!("`arguments`: {error}")))
        .collect()
}

/// The input as it stands in the line. What was read of it has rounded its numbers and sorted its keys.
fn input(line: &str) -> anyhow::Result<Payload> {
    let map: BTreeMap<String, &RawValue> = serde_json::from_str(line).context("`input`")?;
    let input = map.get("input").context("`input` is missing")?;
    Ok(Payload::new(Codec::Json, input.get()))
}

fn stdin(map: &Map<String, Json>) -> anyhow::Result<Stdin> {
    match map.get("stdin") {
        None => Ok(Stdin::Null),
        Some(Json::String(text)) => Ok(Stdin::Bytes(Arc::from(text.as_bytes()))),
        Some(Json::Object(file)) if file.len() == 1 && file.contains_key("file") => {
            let path = string(file, "file")?.context("`stdin.file` is a text")?;
            Ok(Stdin::File(path.into()))
        }
        Some(_) => Err(anyhow!("`stdin` is a text, or {{\"file\": PATH}}")),
    }
}

fn priority(map: &Map<String, Json>) -> anyhow::Result<Priority> {
    match string(map, "priority")? {
        None | Some("normal") => Ok(Priority::Normal),
        Some("high") => Ok(Priority::High),
        Some("low") => Ok(Priority::Low),
        Some(other) => Err(anyhow!("`priority` is high, normal or low, and not `{other}`")),
    }
}

fn without(map: &Map<String, Json>, keys: &[&str], with: &str) -> anyhow::Result<()> {
    match keys.iter().find(|key| map.contains_key(**key)) {
        None => Ok(()),
        Some(key) => Err(anyhow!("`{key}` can't stand beside `{with}`")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sandtrap::Entry;

    #[test]
    fn a_name_is_that_of_one_line_whether_it_was_given_or_not() {
        let line = |id: Option<&str>, number| {
            let id = id.map(|id| format!(", \"id\": \"{id}\"")).unwrap_or_default();
            read(&format!("{{\"program\": \"x\"{id}}}"), number, false).unwrap()
        };
        let mut names = Names::default();
        for (id, number, before) in [
            (Some("a"), 1, None),
            (None, 2, None),
            (Some("line-3"), 3, None),
            (Some("line-5"), 4, None),
            (None, 5, Some("line 4")),
            (Some("a"), 6, Some("line 1")),
            (Some("line-2"), 7, Some("line 2")),
            (Some("line-3"), 8, Some("line 3")),
            (Some("line-02"), 9, None),
            (Some("line-99"), 10, None),
        ] {
            let taken = names.take(&line(id, number), number).map_err(|error| error.to_string());
            match before {
                None => assert_eq!(taken, Ok(()), "{number}"),
                Some(before) => assert!(taken.unwrap_err().contains(before), "{number}"),
            }
        }
    }

    #[test]
    fn a_line_is_a_command_or_a_call() {
        let line = read(
            r#"{"program": "p", "args": ["a"], "stdin": "x", "id": "i", "timeout": "5s",
                "priority": "high", "idempotent": true, "device": "cuda:0", "breaker": "tenant-7",
                "queue_time": "250ms"}"#,
            1,
            true,
        );
        let Line { program, order, timeout } = line.unwrap();
        assert_eq!((program, timeout), ("p".into(), Some(Duration::from_secs(5))));
        assert_eq!((order.task.id.to_string(), order.priority), ("i".to_owned(), Priority::High));
        assert_eq!((order.idempotent, order.device.as_deref()), (true, Some("cuda:0")));
        assert_eq!(order.breaker.as_deref(), Some("tenant-7"));
        assert_eq!(order.queue_time, Some(Duration::from_millis(250)));
        assert!(matches!(order.task.entry, Entry::Command { stdin: Stdin::Bytes(_), .. }));
        let call = read(r#"{"program": "m", "function": "add", "arguments": ["i32:2"]}"#, 7, false)
            .unwrap();
        assert_eq!(call.order.task.id.to_string(), "line-7");
        let Entry::Call { function, arguments } = call.order.task.entry else { panic!("a call") };
        assert_eq!((function.as_str(), &arguments[..]), ("add", &[Value::I32(2)][..]));
        let invoke = read(r#"{"program": "m", "function": "f", "input": [1, null]}"#, 7, false);
        let invoke = invoke.unwrap();
        let Entry::Invoke { function, input } = invoke.order.task.entry else { panic!("a call") };
        assert_eq!((function.as_str(), input.bytes()), ("f", &b"[1, null]"[..]));
    }

    #[test]
    fn an_input_is_what_stands_in_the_line() {
        for input in
            ["18446744073709551616", "1.00", r#"{"b": 1, "a": 2, "b": 3}"#, r#""\u00e9 ä""#, "null"]
        {
            let text = format!(r#"{{"input": {input} , "program": "m", "function": "f"}}"#);
            let Entry::Invoke { input: found, .. } =
                read(&text, 1, false).unwrap().order.task.entry
            else {
                panic!("a call")
            };
            assert_eq!(std::str::from_utf8(found.bytes()), Ok(input));
        }
    }

    #[test]
    fn a_line_as_it_came_may_be_blank_or_no_text_and_the_example_is_a_task() {
        for blank in [&b"\n"[..], b"", b" \t\r\n"] {
            assert!(of(blank, 1, false).unwrap().is_none());
        }
        let line = of(format!("{EXAMPLE}\r\n").as_bytes(), 3, false).unwrap().unwrap();
        assert_eq!(line.order.task.id.to_string(), "line-3");
        assert!(format!("{:#}", of(b"\xff", 1, false).unwrap_err()).contains("no UTF-8"));
    }

    #[test]
    fn what_is_no_task_is_refused_with_what_to_write() {
        for (text, words) in [
            ("x", "it is no JSON: expected value at column 1"),
            (r#"{"program": "p""#, "it is no JSON: EOF while parsing an object at column 15"),
            ("[]", "no object"),
            ("{}", "`program` is missing"),
            (r#"{"program": 1}"#, "`program` is a text"),
            (r#"{"program": "p", "arg": []}"#, "there is no key `arg`; a task has id"),
            (r#"{"program": "p", "args": "a"}"#, "`args` is a list of texts"),
            (r#"{"program": "p", "args": [], "arguments": []}"#, "can't stand beside"),
            (r#"{"program": "p", "function": "f", "stdin": ""}"#, "can't stand beside"),
            (r#"{"program": "p", "function": "f", "arguments": ["2"]}"#, "i32:5"),
            (r#"{"program": "p", "input": 1}"#, "`input` can't stand beside `args`"),
            (
                r#"{"program": "p", "function": "f", "arguments": [], "input": 1}"#,
                "can't stand beside `input`",
            ),
            (r#"{"program": "p", "stdin": {"path": "f"}}"#, "`stdin` is a text"),
            (r#"{"program": "p", "timeout": "5"}"#, "`timeout`"),
            (r#"{"program": "p", "priority": "urgent"}"#, "high, normal or low"),
            (r#"{"program": "p", "idempotent": "yes"}"#, "true or false"),
            (r#"{"program": "p", "device": 0}"#, "`device` is a text"),
            (r#"{"program": "p", "breaker": "b"}"#, "write [breaker] into a file for --config"),
            (r#"{"program": "p", "queue_time": "5"}"#, "`queue_time`"),
        ] {
            let error = format!("{:#}", read(text, 1, false).unwrap_err());
            assert!(error.contains(words), "{text}: {error}");
        }
    }
}
