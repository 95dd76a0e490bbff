//! How a runtime is made that is not the usual one.

use std::path::PathBuf;
use std::sync::Arc;

use crate::confined::{Confined, own_program};
use crate::error::Error;
use crate::evidence::Step;
use crate::isolation::{Isolation, LoadError};
use crate::native::NativeWall;
use crate::quantity::ByteSize;
use crate::runtime::Runtime;
use crate::wasm::{Cache, Compiler, Tools, WasmWall};

/// For how many modules' guests at once a runtime reserves address space.
const USUAL_INSTANCES: u32 = 1000;

/// Makes a [`Runtime`]: where compiled modules are kept, and which program compiles those of others.
///
/// ```
/// # let folder = std::env::temp_dir().join(format!("sandtrap-doc-{}", std::process::id()));
/// use sandtrap::{ByteSize, Runtime};
///
/// let runtime = Runtime::builder().cache(&folder, ByteSize::mib(256)).build()?;
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), sandtrap::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RuntimeBuilder {
    instances: u32,
    compiler: Option<PathBuf>,
    cache: Option<(PathBuf, ByteSize)>,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        Self { instances: USUAL_INSTANCES, compiler: None, cache: None }
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

    /// Compiles untrusted modules with this program instead of the host's own. It has to call [`init`](crate::init)
    /// first in its `main`, as the command `sandtrap` does, and to be of this very version.
    pub fn compiler(mut self, program: impl Into<PathBuf>) -> Self {
        self.compiler = Some(program.into());
        self
    }

    /// Keeps compiled modules in a directory, up to `most` bytes; what was not used for longest goes first.
    ///
    /// The directory is made if it isn't there. It has to be this user's own, and nobody else may write to it. It
    /// should lie on a disk of this machine: it is relied upon that the time of a file's last change is told by
    /// this machine's clock.
    pub fn cache(mut self, directory: impl Into<PathBuf>, most: ByteSize) -> Self {
        self.cache = Some((directory.into(), most));
        self
    }

    /// Makes the runtime. Fails if the directory for the cache can't be used.
    pub fn build(self) -> Result<Runtime, Error> {
        let native: Arc<dyn Isolation> = Arc::new(NativeWall::new());
        let cache = self.cache.map(|(directory, most)| {
            Cache::open(&directory, most.as_u64()).map_err(|error| {
                let directory = directory.display();
                let detail = format!("`{directory}` can't keep compiled modules: {error}");
                LoadError::at(Step::Accept, detail).with_errno(error.raw_os_error())
            })
        });
        let cache = cache.transpose()?.map(Arc::new);
        let confined = self.compiler.or_else(own_program).map(|program| {
            Arc::new(Confined::new(Arc::clone(&native), program)) as Arc<dyn Compiler>
        });
        Ok(Runtime::of(
            Arc::new(WasmWall::new(Tools::new(confined, cache), self.instances)),
            native,
        ))
    }
}
