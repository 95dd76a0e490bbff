//! How a runtime is made that is not the usual one.

use std::fmt::Display;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::confined::{Confined, own_program};
use crate::error::Error;
use crate::evidence::Step;
use crate::host::{HostContext, HostFunctions};
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
    host: HostFunctions,
}

impl Default for RuntimeBuilder {
    fn default() -> Self {
        let host = HostFunctions::default();
        Self { instances: USUAL_INSTANCES, compiler: None, cache: None, host }
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

    /// Registers a function that guests may call (`cx.host().call("kv.get", &key)`), behind either wall, as far as their
    /// program was granted it ([`Permissions::grant_host_function`](crate::Permissions::grant_host_function)). A
    /// later one of the same name replaces the earlier one.
    ///
    /// It runs on a thread of its own, while the guest's deadline goes on: a guest whose deadline comes meanwhile is ended,
    /// and [`HostContext`] tells the function so. Up to 8 run at once for a guest, and its other calls wait for those; what
    /// still waits when it is gone is never begun. Up to 256 run at once for all guests of this process, and a program (what
    /// reports call the same is one) has no more of these than it leaves for all others; its further calls wait. Those that go
    /// on for nobody are among them: a function that takes long looks whether it
    /// [is cancelled](HostContext::is_cancelled), or others wait for it. If it panics, its guest gets an error. What it
    /// takes comes from code that may be hostile, and any serde type may be taken.
    ///
    /// ```
    /// use sandtrap::{Permissions, Program, Runtime};
    ///
    /// let runtime = Runtime::builder()
    ///     .host("greet", |_, name: String| format!("hello, {name}"))
    ///     .try_host("read", |cx, number: u32| match cx.is_cancelled() {
    ///         false => Ok(number + 1),
    ///         true => Err("nobody waits for it"),
    ///     })
    ///     .build()?;
    /// let mut permissions = Permissions::default();
    /// permissions.grant_host_function("greet");
    /// let guest = Program::file("guest.wasm").permissions(permissions);
    /// # drop((runtime, guest));
    /// # Ok::<(), sandtrap::Error>(())
    /// ```
    pub fn host<In, Out>(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&HostContext, In) -> Out + Send + Sync + 'static,
    ) -> Self
    where
        In: DeserializeOwned + 'static,
        Out: Serialize + 'static,
    {
        self.host.add(name.into(), function);
        self
    }

    /// The same with a function that may fail. The guest gets the error's text, and nothing else of it.
    pub fn try_host<In, Out, E>(
        mut self,
        name: impl Into<String>,
        function: impl Fn(&HostContext, In) -> Result<Out, E> + Send + Sync + 'static,
    ) -> Self
    where
        In: DeserializeOwned + 'static,
        Out: Serialize + 'static,
        E: Display,
    {
        self.host.add_fallible(name.into(), function);
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
            self.host,
        ))
    }
}
