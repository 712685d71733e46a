//! A comparison of the model with the real gateway and redriver over the same outcomes: both have the same
//! effects, one by one, and leave the same state.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookmq_model::state::{Claim, From, Kept, Left, Made, State};
use hookmq_model::{Action, Body, Choice, Condition, Effect, Form, Limits, Setting, System, Who};
use hookmq_shared::clock::{Clock, Random, Timestamp};
use hookmq_shared::config::{Config, Mode, Reading, Samples};
use hookmq_shared::context::Context;
use hookmq_shared::env::Env;
use hookmq_shared::gateway::{Gateway, Stores};
use hookmq_shared::message::Message;
use hookmq_shared::metrics::Metrics;
use hookmq_shared::queue::told::{Said, ToldQueue};
use hookmq_shared::queue::{Class, SendError, Target, Vendor};
use hookmq_shared::redrive::{Options, Redriver};
use hookmq_shared::secret::Secret;
use hookmq_shared::service::Service as _;
use hookmq_shared::source::{Draft, Settings, Source};
use hookmq_shared::spill::{Record, Spill};
use hookmq_shared::store::memory::{Fault, FaultKind, MemoryStore, Operation};
use hookmq_shared::store::{Store, StoreError};
use tokio::time::Instant;

const BEGIN: i64 = 1_800_000_000_000;
const SECRET: &str = "a secret of the drift tests";
/// Upper bound on a message's text in the queue's client, in bytes.
const MOST: usize = 4096;

/// Kind of a phase: a request, a run over `spill/`, or a run over `dead/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Request,
    Redrive,
    Dead,
}

/// A phase, the condition of the hook during the phase, and the result of each effect.
#[derive(Clone, Debug)]
struct Scene {
    phase: Phase,
    hook: Condition,
    choices: Vec<Choice>,
}

/// The effects of a phase, and the state after it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    effects: Vec<String>,
    is_acked: Option<bool>,
    objects: String,
    queued: usize,
}

fn label(effect: Effect, from: From) -> Option<String> {
    let text = match effect {
        Effect::GetMark => "get sent",
        Effect::PutMark => "put sent",
        Effect::PutClaim => "put claims",
        Effect::PutSpill(_) => "new spill",
        Effect::PutDead(_) => "new dead",
        Effect::PutRetry => "put retry",
        Effect::DeleteRetry(_) => "delete retry",
        Effect::DeleteKept if from == From::Dead => "delete dead",
        Effect::DeleteKept => "delete spill",
        Effect::Send(made) => return Some(send_label(made)),
        Effect::Nothing | Effect::Answer => return None,
    };
    Some(text.to_owned())
}

fn send_label(made: Made) -> String {
    format!("send {:?} {}", made.form, made.is_sound)
}

fn kept_text(kept: Option<(Option<Made>, &str)>) -> String {
    kept.map_or_else(|| "-".to_owned(), |(made, class)| format!("{made:?} {class}"))
}

// The model's side.

fn system(setting: Setting) -> System {
    let left = Left { faults: 99, crashes: 0, requests: 9, deads: 9, removals: 9, jumps: 0, forgeries: 0 };
    System::new(vec![setting], Limits { things: 1, redrivers: 1, requests: 1, left })
}

/// Plays a phase with every combination of results with at most `faults` faults; passes each end to `tell`.
fn play(
    system: &System,
    state: &State,
    scene: &Scene,
    faults: usize,
    tell: &mut impl FnMut(Scene, Seen, State),
) {
    let before = State { hook: scene.hook, ..*state };
    let action = match scene.phase {
        Phase::Request => Action::Request(0),
        Phase::Redrive => Action::Redrive,
        Phase::Dead => Action::Dead,
    };
    let mut actions = Vec::new();
    system.actions(&before, &mut actions);
    if !actions.contains(&action) {
        return;
    }
    let Some(begun) = system.after(&before, action) else { return };
    let seen = Seen { effects: Vec::new(), is_acked: None, objects: String::new(), queued: 0 };
    branch(system, begun, scene.clone(), seen, faults, tell);
}

fn branch(
    system: &System,
    state: State,
    scene: Scene,
    seen: Seen,
    faults: usize,
    tell: &mut impl FnMut(Scene, Seen, State),
) {
    if state.is_still() {
        let thing = &state.things[0];
        let text =
            |kept: Option<Kept>| kept_text(kept.as_ref().map(|kept| (kept.message, kept.cause.as_str())));
        let objects = format!(
            "spill {}, dead {}, retry {}, claim {}, mark {}",
            text(thing.spill),
            text(thing.dead),
            thing.retry.count_ones(),
            thing.claim != Claim::None,
            thing.mark
        );
        tell(scene, Seen { objects, ..seen }, state);
        return;
    }
    let mut actions = Vec::new();
    system.actions(&state, &mut actions);
    for action in actions {
        let (choice, effect, from) = match action {
            Action::Effect(who, choice) => {
                let trip = match who {
                    Who::Forwarder(_) => state.requests[0].unwrap(),
                    Who::Redriver(_) => state.runs[0].unwrap().trip.unwrap(),
                };
                (choice, label(trip.effect(system.setting(&state)), trip.from), trip.from)
            }
            Action::Take(_, _, choice) => {
                let is_dead = state.runs[0].unwrap().dead;
                let text = if is_dead { "get dead" } else { "get spill" };
                (choice, Some(text.to_owned()), From::Spill)
            }
            _ => continue,
        };
        // Unreadable answers have tests of their own. A missing topic may be known without a try.
        let is_fault = choice != Choice::Well;
        if choice == Choice::Unread || (is_fault && faults == 0) {
            continue;
        }
        let Some(next) = system.after(&state, action) else { continue };
        let (mut scene, mut seen) = (scene.clone(), seen.clone());
        if let Some(effect) = effect {
            scene.choices.push(choice);
            let is_stored = match choice {
                Choice::Well => takes(*system.setting(&state), &effect),
                Choice::StoredBut(_) => true,
                _ => false,
            };
            seen.queued += usize::from(is_stored);
            seen.effects.push(effect);
        } else if from == From::Sender {
            seen.is_acked = Some(state.requests[0].unwrap().end().unwrap().is_accepted());
        }
        branch(system, next, scene, seen, faults - usize::from(is_fault), tell);
    }
}

/// Returns true if the vendor stores such a message in the absence of faults.
fn takes(setting: Setting, send: &str) -> bool {
    send.starts_with("send")
        && send.ends_with("true")
        && !(setting.body == Body::TooLargeForVendor && send.starts_with("send Whole"))
}

// The real side.

struct World {
    clock: Arc<AtomicI64>,
    memory: MemoryStore,
    store: Store,
    queue: ToldQueue,
    script: Arc<Mutex<Script>>,
    context: Context,
    setting: Setting,
}

#[derive(Default)]
struct Script {
    choices: VecDeque<Choice>,
    effects: Vec<String>,
}

impl Script {
    fn next(&mut self, effect: String) -> Choice {
        self.effects.push(effect);
        self.choices.pop_front().unwrap_or(Choice::Well)
    }
}

impl World {
    fn new(setting: Setting) -> Self {
        let clock = Arc::new(AtomicI64::new(BEGIN));
        let script = Arc::new(Mutex::new(Script::default()));
        let told = Arc::clone(&clock);
        let context = Context {
            env: Env::of([("SPILL_URL", "file:///nowhere"), ("METRICS", "off")]),
            clock: Clock::from_fn(move || Timestamp::from_unix_millis(told.load(Ordering::SeqCst))),
            random: Random::from_fn(|| 3),
        };
        let memory = MemoryStore::new(context.clock.clone());
        let asked = Arc::clone(&script);
        memory.set_faults(move |operation, name| fault(&asked, operation, name));
        let asked = Arc::clone(&script);
        let queue = ToldQueue::new(Vendor::Tdmq, MOST, move |message| answer(&asked, setting, message));
        Self { clock, store: Store::new(memory.clone()), memory, queue, script, context, setting }
    }

    fn config(&self, hook: Condition) -> Config {
        let Setting { mode, dedupe, refer, .. } = self.setting;
        let topic = match hook {
            Condition::Sound => "t/n/sound",
            Condition::Typo => "t/n/typo",
            Condition::Misfit => "t/n/{header:x-that-is-not-there}",
            Condition::Gone => "",
        };
        let spill = match mode {
            Mode::OnFailure => "on-failure",
            Mode::Always => "always",
            Mode::Never => "never",
        };
        let oversize = if refer { "reference" } else { "reject" };
        let dedupe = if dedupe { "dedupe = \"24h\"\n" } else { "" };
        let name = if hook == Condition::Gone { "other" } else { "a" };
        let topic = if topic.is_empty() { "t/n/sound" } else { topic };
        let text = format!(
            "[hooks.{name}]\nsource = \"github\"\nsecrets = [\"plain:{SECRET}\"]\ntopic = \"{topic}\"\n\
             spill = \"{spill}\"\noversize = \"{oversize}\"\n{dedupe}"
        );
        let config = Config::parse("hooks", &text, Reading::new(&self.context.env, Samples::Accepted));
        assert!(config.hook(name).is_some(), "{text}\n{:?}", config.mistakes);
        config
    }

    async fn play(&self, scene: &Scene) -> Seen {
        let before = self.queue.messages().len();
        *self.script.lock().unwrap() =
            Script { choices: scene.choices.iter().copied().collect(), effects: Vec::new() };
        let config = self.config(scene.hook);
        let spill = Spill::new(self.store.clone(), &self.context);
        let target = Target::from(Vendor::Tdmq);
        let mut is_acked = None;
        if scene.phase == Phase::Request {
            let stores = Stores { spill: Some(spill), quarantine: None, problems: Vec::new() };
            let queues = vec![(target, self.queue.clone())];
            let gateway =
                Gateway::assemble(config, Vendor::Tdmq, queues, stores, self.context.clone(), Metrics::off());
            let size = if self.setting.body == Body::TooLarge { MOST } else { 16 };
            let draft = Draft {
                path: "/a".to_owned(),
                body: Some(format!("{{\"text\":\"{}\"}}", "x".repeat(size)).into()),
                id: Some("delivery-1".to_owned()),
                ..Draft::default()
            };
            let settings = Settings { secrets: vec![Secret::new(SECRET)], ..Settings::default() };
            let source = Source::preset("github", settings).unwrap();
            let mut request = source.sign(draft, 0, self.context.clock.now(), &self.context.random).unwrap();
            request.received = Instant::now();
            let status = gateway.call(request).await.status;
            is_acked = Some(status < 300);
        } else {
            let options = Options { dead: scene.phase == Phase::Dead, ..Options::default() };
            let deadline = Instant::now() + Duration::from_secs(60);
            let redriver =
                Redriver::new(target, self.queue.clone(), spill, Arc::new(config), self.context.clone());
            redriver.run(&options, deadline).await.unwrap();
        }
        let effects = std::mem::take(&mut self.script.lock().unwrap().effects);
        Seen { effects, is_acked, objects: self.objects(), queued: self.queue.messages().len() - before }
    }

    fn objects(&self) -> String {
        let record = |folder: &str| {
            let name = self.memory.names(folder).first().cloned()?;
            Record::parse(&self.memory.object(&name)?.bytes).ok()
        };
        let text = |record: Option<Record>| {
            let made = |message: &Message| made(message);
            let record = record.as_ref();
            kept_text(
                record.map(|record| (record.message.as_ref().map(made), record.error.errorclass.as_str())),
            )
        };
        let states = self.memory.names("retry/tdmq/a/").len();
        let (claims, marks) = (self.memory.count("claims/"), self.memory.count("sent/"));
        format!(
            "spill {}, dead {}, retry {states}, claim {}, mark {}",
            text(record("spill/")),
            text(record("dead/")),
            claims > 0,
            marks > 0
        )
    }
}

fn made(message: &Message) -> Made {
    let form = if message.dataref().is_some() { Form::Referring } else { Form::Whole };
    Made { form, is_sound: message.topic == "t/n/sound" }
}

fn fault(script: &Mutex<Script>, operation: Operation, name: &str) -> Fault {
    let folder = name.split('/').next().unwrap_or_default();
    let doing = match operation {
        Operation::PutNew => "new",
        Operation::Put => "put",
        Operation::Get => "get",
        Operation::Delete => "delete",
        Operation::Head | Operation::List | Operation::Folders => return Fault::default(),
    };
    // The history of earlier attempts and the cursor do not change a delivery's outcome.
    if name.contains("/cursor.") || (doing, folder) == ("get", "retry") {
        return Fault::default();
    }
    match script.lock().unwrap().next(format!("{doing} {folder}")) {
        Choice::Fails => Fault::denied(),
        Choice::Lies => FaultKind::Lies(StoreError::TimedOut).into(),
        _ => Fault::default(),
    }
}

fn answer(script: &Mutex<Script>, setting: Setting, message: &Message) -> Said {
    let label = send_label(made(message));
    let choice = script.lock().unwrap().next(label.clone());
    match choice {
        Choice::Refused(class, tried) => Said::failed(class, tried),
        Choice::StoredBut(class) => Said { is_stored: true, ..Said::failed(class, true) },
        Choice::Asks(class) => {
            let said = Said::failed(class, true);
            let asks = |mut error: SendError| {
                error.retry_after = Some(Duration::from_secs(86_400));
                error
            };
            Said { error: said.error.map(asks), ..said }
        }
        _ if takes(setting, &label) => Said::STORED,
        _ if label.ends_with("false") => Said::failed(Class::Config, true),
        _ => Said::failed(Class::TooLarge, true),
    }
}

/// Plays all scenes in order against the real code; returns the effects of the last one.
async fn replay(setting: Setting, scenes: &[Scene]) -> Seen {
    let world = World::new(setting);
    let mut last = None;
    for scene in scenes {
        last = Some(world.play(scene).await);
        world.clock.fetch_add(61 * 60 * 1000, Ordering::SeqCst);
        // Deadlines and rests use Tokio's clock, which advances as well.
        tokio::time::advance(Duration::from_secs(61 * 60)).await;
    }
    last.unwrap()
}

/// Compares the model and the code in every phase, for one history of each state; replays one in `every`.
async fn compare(every: usize) -> usize {
    let hooks = [
        [Condition::Sound, Condition::Sound, Condition::Sound],
        [Condition::Typo, Condition::Typo, Condition::Sound],
        [Condition::Typo, Condition::Sound, Condition::Sound],
        [Condition::Misfit, Condition::Sound, Condition::Sound],
        [Condition::Sound, Condition::Gone, Condition::Gone],
        [Condition::Sound, Condition::Misfit, Condition::Sound],
        [Condition::Typo, Condition::Gone, Condition::Sound],
    ];
    let (mut number, mut replayed, mut effects) = (0, 0, BTreeSet::new());
    let settings = Setting::all();
    for setting in settings.into_iter().filter(|setting| setting.named && setting.begins == Condition::Sound)
    {
        let system = system(setting);
        for [first, second, third] in hooks {
            let mut known: Vec<(State, Vec<Scene>)> = vec![(system.begin()[0], Vec::new())];
            let phases = [
                vec![(Phase::Request, first)],
                vec![(Phase::Redrive, second), (Phase::Dead, second)],
                vec![(Phase::Redrive, third), (Phase::Dead, third), (Phase::Request, third)],
            ];
            for (depth, phases) in phases.into_iter().enumerate() {
                let mut next: Vec<(State, Vec<Scene>)> = Vec::new();
                let mut ways: Vec<(Vec<Scene>, Seen)> = Vec::new();
                for (state, history) in &known {
                    for &(phase, hook) in &phases {
                        // A removed hook gets no request.
                        if phase == Phase::Request && hook == Condition::Gone {
                            continue;
                        }
                        let scene = Scene { phase, hook, choices: Vec::new() };
                        play(&system, state, &scene, 1, &mut |scene, seen, mut state| {
                            let scenes: Vec<Scene> = history.iter().cloned().chain([scene]).collect();
                            state.pass_hour();
                            state.left = system.limits.left;
                            if next.iter().all(|(known, _)| *known != state) {
                                next.push((state, scenes.clone()));
                            }
                            ways.push((scenes, seen));
                        });
                    }
                }
                for (scenes, expected) in ways {
                    number += 1;
                    // The first phases are few, so all of them are played.
                    if depth > 0 && number % every != 0 {
                        continue;
                    }
                    let seen = replay(setting, &scenes).await;
                    assert_eq!(seen, expected, "{setting:?}\n{scenes:#?}");
                    effects.extend(seen.effects);
                    replayed += 1;
                }
                known = next;
            }
        }
    }
    assert!(effects.len() >= 15, "not every effect was seen: {effects:?}");
    replayed
}

#[tokio::test(start_paused = true)]
async fn the_model_does_what_the_program_does() {
    let replayed = compare(101).await;
    assert!(replayed > 1000, "{replayed}");
    println!("{replayed} histories");
}

#[tokio::test(start_paused = true)]
#[ignore = "minutes: every history, not a sample of them"]
async fn the_model_does_what_the_program_does_in_every_history() {
    println!("{} histories", compare(1).await);
}
