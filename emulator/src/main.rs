//! The emulator as a process. Its first line of output is `listening http://ADDRESS:PORT`.
//!
//! `LISTEN` (default `127.0.0.1:0`) is the address. Credentials and names come from the variables that the
//! forwarders read, each with the sample's value as default: `TENCENTCLOUD_SECRET_ID`, `…_SECRET_KEY`,
//! `…_TOKEN`; `HUAWEICLOUD_SDK_AK`, `…_SK`, `…_SECURITY_TOKEN`, `…_PROJECT_ID`; `ROCKETMQ_INSTANCE_ID`;
//! `OS_USER_DOMAIN_NAME`, `OS_USERNAME`, `OS_PASSWORD`, `OS_PROJECT_NAME`. `MISSING_TOPICS` lists topics that
//! do not exist, separated by commas. `ROCKETMQ_PATHS` lists the forms of DMS's address that are known, of
//! `engine-first` and `project-first`; both are by default. With `KEEP_MESSAGES=0`, messages and requests are counted but not kept.
//!
//! `S3_LISTEN` is the address of an additional S3, and the second line of output is then `s3
//! http://ADDRESS:PORT`; the sample's access key has its bucket `hooks`. Each page of a listing takes
//! additional `S3_PAGE_MS` milliseconds, any other request `S3_REQUEST_MS`.

use std::{error::Error, future, io::Write as _, time::Duration};

use hookmq_emulator::{Config, Emulator, PathForm, S3, S3Config, Topics};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    if std::env::args_os().len() > 1 {
        return Err("the emulator takes no arguments: set LISTEN to its address; the head of emulator/src/main.rs lists \
                    the other variables"
            .into());
    }
    let listen = variable("LISTEN").unwrap_or_else(|| "127.0.0.1:0".to_owned()).parse()?;
    let emulator = Emulator::start(listen, config()?).await?;
    writeln!(std::io::stdout(), "listening {}", emulator.url())?;
    let _s3 = match variable("S3_LISTEN") {
        Some(listen) => {
            let s3 = S3::start(listen.parse()?, s3_config()?).await?;
            writeln!(std::io::stdout(), "s3 {}", s3.url())?;
            Some(s3)
        }
        None => None,
    };
    future::pending().await
}

fn s3_config() -> Result<S3Config, Box<dyn Error>> {
    let millis = |name| variable(name).map_or(Ok(0), |text| text.parse()).map(Duration::from_millis);
    Ok(S3Config {
        page_delay: millis("S3_PAGE_MS")?,
        request_delay: millis("S3_REQUEST_MS")?,
        ..S3Config::default()
    })
}

fn config() -> Result<Config, Box<dyn Error>> {
    let missing = variable("MISSING_TOPICS").unwrap_or_default();
    let topics = Topics::all_but(missing.split(',').map(str::trim).filter(|topic| !topic.is_empty()));
    let rocketmq_paths = match variable("ROCKETMQ_PATHS") {
        Some(list) => list.split(',').map(|form| path_form(form.trim())).collect::<Result<_, _>>()?,
        None => Config::default().rocketmq_paths,
    };
    Ok(Config {
        rocketmq_paths,
        tdmq_topics: topics.clone(),
        rocketmq_topics: topics,
        keeps: variable("KEEP_MESSAGES").is_none_or(|keep| keep != "0"),
        ..Config::from_variables(&variable)
    })
}

fn path_form(word: &str) -> Result<PathForm, String> {
    match word {
        "engine-first" => Ok(PathForm::EngineFirst),
        "project-first" => Ok(PathForm::ProjectFirst),
        _ => Err(format!("ROCKETMQ_PATHS: {word:?} is neither engine-first nor project-first")),
    }
}

/// Reads an environment variable; an empty variable counts as unset.
#[expect(clippy::disallowed_methods, reason = "this executable's one look at its environment")]
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
