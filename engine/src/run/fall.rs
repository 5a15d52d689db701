//! Components that fall over: what was in their hands is counted, whoever waits is told, and readiness is gone.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use steadyline_component::{Batch, ComponentStatus, Now, Status, Tally, Work};

/// Calls a processor or a connector, and counts what comes out and what it `held` afterwards. The second is a panic: what
/// the call had and did not emit is lost then, and counted.
pub(super) fn call<C: ?Sized>(
    component: &mut C,
    (now, tally): (Now, &Tally),
    held: impl Fn(&C) -> u64,
    call: impl FnOnce(&mut C, &mut Work<'_>),
) -> (Vec<Batch>, Option<Box<dyn Any + Send>>) {
    let mut out = Vec::new();
    let called = catch_unwind(AssertUnwindSafe(|| {
        call(component, &mut Work { now, tally, out: &mut out });
        held(component)
    }));
    tally.outgoing(out.iter().map(Batch::items).sum());
    let panic = match called {
        Ok(held) => {
            tally.set_held(held);
            return (out, None);
        }
        Err(panic) => panic,
    };
    // What it still has it may let go of later.
    tally.set_held(catch_unwind(AssertUnwindSafe(|| held(component))).unwrap_or(0));
    match tally.balance().missing() {
        lost @ 0.. => tally.dropped("panicked", lost.unsigned_abs()),
        surplus => tally.created("panicked", surplus.unsigned_abs()),
    }
    (out, Some(panic))
}

/// Tells of a panic in the log and on the board.
pub(super) fn fell(name: &str, status: &ComponentStatus, panic: &(dyn Any + Send)) {
    let text = words(panic);
    tracing::error!(component = name, "it panicked, and the process is not ready any more: {text}");
    status.set(Status::Failed(format!("a worker panicked: {text}")));
}

/// What a panic says.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message")
}
