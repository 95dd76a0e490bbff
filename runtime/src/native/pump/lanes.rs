//! Serves a call in the lane of its process, as long as that is of any use.

use std::time::{Duration, Instant};

use crate::evidence::StopReason;

use super::{MOST_AT_ONCE, Pump, Source, Talk, Until};
use crate::native::lane::{MOST, OurLane};

/// A call that was laid into the lane, and is served here because its answer did not come there in order.
#[derive(Debug)]
pub(in crate::native) struct Begun {
    pub(in crate::native) began: Instant,
    /// What came there.
    pub(in crate::native) message: Option<Vec<u8>>,
}

impl Pump<'_> {
    /// Going on with a call that was laid down already.
    pub(in crate::native) fn going_on(self, begun: Option<Begun>) -> Self {
        Self { begun, ..self }
    }

    /// Lays the call down, if its guest looks for it in the lane, and hears the answer, if it comes there soon. What is left
    /// is the channel's. Says why the guest must be ended, if it must.
    pub(super) fn serve_lane(&mut self, talk: &mut Talk<'_>) -> Option<StopReason> {
        let lane = self.process.lane.as_ref()?;
        if let Some(begun) = self.begun.take() {
            self.is_laid = true;
            let message = begun.message?;
            talk.buffer[..message.len()].copy_from_slice(&message);
            return self.hear_lane(talk, message.len());
        }
        let laid = talk.outbox.only().filter(|message| lane.lay(message, &[])).map(<[u8]>::len);
        let Some(length) = laid else {
            lane.looks_away();
            return None;
        };
        self.is_laid = true;
        talk.outbox.sent(length);
        let (count, _) = lane.wait(self.patience().min(MOST), &mut talk.buffer);
        self.hear_lane(talk, count?)
    }

    /// Whether nothing of the call was read by a guest that is gone, and has said nothing.
    pub(super) fn is_unread(&self, talk: &Talk<'_>) -> bool {
        if self.is_laid {
            let lane = self.process.lane.as_ref();
            return talk.is_silent() && lane.is_some_and(OurLane::is_unread);
        }
        // Behind the call of one that is called once comes a word that it may leave unread while it works.
        let is_called_again = self.until != Until::Gone;
        let is_all_left = self.has_left_some && self.sent <= MOST_AT_ONCE && talk.is_silent();
        self.sent == 0 || (is_called_again && is_all_left)
    }

    /// Hears what came there. What follows comes over the channel.
    fn hear_lane(&self, talk: &mut Talk<'_>, count: usize) -> Option<StopReason> {
        let reason = talk.hear(Source::Channel, count);
        if !talk.witness.is_answered() {
            self.process.lane.iter().for_each(OurLane::looks_away);
        }
        reason
    }
}

/// The longest that an answer under these bounds is looked for in a lane.
pub(in crate::native) fn most(wall: Duration, cpu: Duration, threads: u32) -> Duration {
    MOST.min(wall).min(cpu / threads.max(1))
}
