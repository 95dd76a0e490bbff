//! What is said about the end of a guest, as flags.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(crate) struct ReportArgs {
    /// Write the whole report to a file, as one JSON object [default: no report]
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, value_parser = report_file())]
    pub(crate) report: Option<PathBuf>,

    /// Write a core dump of a module that traps, or is stopped while it runs, to a file for debuggers of modules
    /// [default: none]. Of components and processes there is none
    #[arg(long, value_name = "FILE", allow_hyphen_values = true, value_parser = report_file())]
    pub(crate) core_dump: Option<PathBuf>,

    /// Say where a process was when it died or panicked, as is always said of a module
    #[arg(long)]
    pub(crate) backtrace: bool,

    /// Print the report on stdout instead of the guest's output, which is within it
    #[arg(long)]
    pub(crate) json: bool,
}

pub(super) fn report_file() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|name| match name.to_str() {
        Some("-") => Err(
            "`-` is no file here; what is for stdout is printed without this flag, or by --json",
        ),
        _ => Ok(PathBuf::from(name)),
    })
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Report")]
pub(crate) struct DiagnosisArgs {
    /// Print no diagnosis of a guest that doesn't end well
    #[arg(long, short)]
    pub(crate) quiet: bool,
}
