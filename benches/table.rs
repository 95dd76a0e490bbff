//! `RATIOS.md`: the table of goals with their figures, and a line for each run, so that a creep is seen.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::goals::{GOALS, Goal};
use crate::notebook::{Row, Sense, reason, rows};

/// The line above the runs, which are kept from one run to the next.
const HISTORY: &str = "## Runs";

/// Writes the table anew, and adds a line for this run.
pub fn write(path: &Path, remark: &str) -> io::Result<()> {
    let earlier = fs::read_to_string(path).unwrap_or_default();
    fs::write(path, table(&rows(), &earlier, remark))
}

fn table(rows: &[Row], earlier: &str, remark: &str) -> String {
    let mut text = format!(
        "# Ratios\n\nMade by `cargo bench -p sandtrap-benches --bench questions -- --record` ({}; {remark}).\n\n\
         Ours and its floor run in turns in one process, so that a busy moment falls on both. Times are the least and the \
         median; the ratio is the worse one of the two. What is no goal stands below.\n\n\
         | goal | floor | ours | figure | wanted | |\n| --- | --- | --- | --: | --: | --- |\n",
        today()
    );
    let find = |goal: &Goal| rows.iter().rev().find(|row| row.question == goal.question);
    for goal in GOALS {
        // Writing to a string can't fail.
        let _ = writeln!(text, "{}", line(goal, find(goal)));
    }
    text.push_str(
        "\n## Other figures\n\n| question | floor | ours | ratio |\n| --- | --- | --- | --: |\n",
    );
    let is_goal = |row: &&Row| GOALS.iter().any(|goal| goal.question == row.question);
    for row in rows.iter().filter(|row| !is_goal(row)) {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.2} |",
            row.question, row.floor, row.ours, row.figure
        );
    }
    text.push_str(&history(rows, earlier, remark));
    text
}

fn line(goal: &Goal, row: Option<&Row>) -> String {
    let Some(row) = row else {
        let why = goal.otherwise.map(str::to_owned).or_else(|| reason(goal.question));
        let why = why.unwrap_or_else(|| "no bench has told it in this run".to_owned());
        return format!("| {} | – | – | – | – | not measured here: {why} |", goal.words);
    };
    let result = if row.sense.is_met(row.figure, row.goal) {
        "met".to_owned()
    } else {
        let miss = match row.sense {
            Sense::AtMost => row.figure / row.goal,
            Sense::AtLeast => row.goal / row.figure,
        };
        format!("**missed** by {miss:.2} times")
    };
    let (floor, ours, wanted) = (&row.floor, &row.ours, row.sense.sign());
    format!(
        "| {} | {floor} | {ours} | {:.2} | {wanted} {} | {result} |",
        goal.words, row.figure, row.goal
    )
}

/// The lines of earlier runs, and one more.
fn history(rows: &[Row], earlier: &str, remark: &str) -> String {
    let mut text = format!("\n{HISTORY}\n\n| date | met | figures |\n| --- | --- | --- |\n");
    let kept = earlier.split_once(HISTORY).map_or("", |(_, runs)| runs);
    for run in kept.lines().filter(|line| line.starts_with("| 2")) {
        text.push_str(run);
        text.push('\n');
    }
    let goals: Vec<&Row> = GOALS
        .iter()
        .filter_map(|goal| rows.iter().rev().find(|row| row.question == goal.question))
        .collect();
    let met = goals.iter().filter(|row| row.sense.is_met(row.figure, row.goal)).count();
    let figures: Vec<String> =
        goals.iter().map(|row| format!("{} {:.2}", row.question, row.figure)).collect();
    // Writing to a string can't fail.
    let _ = writeln!(
        text,
        "| {} ({remark}) | {met} of {} measured, of {} | {} |",
        today(),
        goals.len(),
        GOALS.len(),
        figures.join("; ")
    );
    text
}

/// The date in the calendar, without a crate: days since 1970 as year, month and day.
fn today() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let days = now.as_secs() / 86_400;
    // A calendar whose years begin in March, so that leap days come last.
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    format!("{}-{month:02}-{day:02}", year + era * 400 + next)
}
