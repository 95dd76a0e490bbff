//! How a runtime is made, where the usual way is not the right one.

use std::sync::Arc;

use crate::error::Error;
use crate::native::NativeWall;
use crate::runtime::Runtime;
use crate::wasm::WasmWall;

/// For how many modules' guests at once a runtime reserves address space.
const USUAL_INSTANCES: u32 = 1000;

/// Makes a [`Runtime`] step by step.
#[derive(Debug, Clone)]
pub struct RuntimeBuilder {
    instances: u32,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self { instances: USUAL_INSTANCES }
    }
}

impl RuntimeBuilder {
    /// For how many guests of modules places are kept ready, 1000 unless said otherwise. A guest that finds
    /// all of them taken is refused (`unstarted.resources`). Each place costs address space and no memory; to make
    /// a thousand of them costs some milliseconds, once, when the first module is loaded.
    ///
    /// With 0 nothing is kept ready: every guest's memory is asked for anew, which takes longer. That is right for
    /// a process that runs one guest and ends.
    pub fn instances(mut self, most: u32) -> Self {
        self.instances = most;
        self
    }

    /// A runtime with both walls.
    pub fn build(self) -> Result<Runtime, Error> {
        let wasm = Arc::new(WasmWall::new(self.instances));
        Ok(Runtime::with_walls(wasm, Arc::new(NativeWall::new())))
    }
}
