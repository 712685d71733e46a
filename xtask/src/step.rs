//! The parts of a step: what it shows, what it costs, and the commands that run it.

/// Queue of steps that run one after the other, beside the steps of the other queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Queue of the steps that keep the processors busy; they run in the order of the table.
    Build,
    /// Queue of the steps that mostly wait for downloads, containers or clocks; the first that is ready runs.
    Wait,
}

/// One step of the continuous integration.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Name on the command line and of the log file, in kebab case.
    pub(crate) name: &'static str,
    /// Property that holds if the step passes.
    pub(crate) shows: &'static str,
    /// Expected duration of the short form in seconds, on a fresh machine with two processors.
    pub(crate) budget: u64,
    /// Queue in which the step runs.
    pub(crate) lane: Lane,
    /// Names of the steps that must pass before this one starts; they stand above it in the table.
    pub(crate) after: &'static [&'static str],
    /// True for a measurement, which needs the machine for itself.
    pub(crate) alone: bool,
    /// Commands of the short form, which bash runs from the root of the repository.
    pub(crate) short: &'static [&'static str],
    /// Full size of the step, where the short form leaves something out.
    pub(crate) long: Option<Long>,
}

/// Form of a step that leaves nothing out.
#[derive(Clone, Debug)]
pub(crate) struct Long {
    /// Difference to the short form, in a few words.
    pub(crate) adds: &'static str,
    /// Expected duration in seconds.
    pub(crate) budget: u64,
    /// Commands instead of those of the short form.
    pub(crate) commands: &'static [&'static str],
}

impl Step {
    /// Returns the commands of the long or the short form.
    pub(crate) fn commands(&self, is_long: bool) -> &'static [&'static str] {
        self.long.as_ref().filter(|_| is_long).map_or(self.short, |long| long.commands)
    }

    /// Returns the expected duration of the long or the short form in seconds.
    pub(crate) fn expected(&self, is_long: bool) -> u64 {
        self.long.as_ref().filter(|_| is_long).map_or(self.budget, |long| long.budget)
    }
}

/// Step that downloads and installs. A step that needs it says so and waits for it.
pub(crate) const INSTALL: &str = "install";

/// Values of a compiling step that its entry in the table does not name.
pub(crate) const BUILD: Step = Step {
    name: "",
    shows: "",
    budget: 0,
    lane: Lane::Build,
    after: &[],
    alone: false,
    short: &[],
    long: None,
};

/// Values of a waiting step that its entry in the table does not name.
pub(crate) const WAIT: Step = Step { lane: Lane::Wait, ..BUILD };

/// Values of a measurement that its entry in the table does not name.
pub(crate) const MEASURE: Step = Step { alone: true, ..BUILD };
