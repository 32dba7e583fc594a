"""Builds the native extensions; everything else about the package stands in pyproject.toml.

FASTMON_DEBUG=1 builds it with bounds checks, the tables' self-checks and AddressSanitizer and
UndefinedBehaviorSanitizer, to be run with libasan preloaded (`scripts/test --sanitize`).
"""

from __future__ import annotations

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

SOURCE = Path("src/fastmon")
HEADERS = sorted(str(path) for pattern in ("*.pxd", "*.h") for path in SOURCE.rglob(pattern))
INLINE = ["--param=max-inline-insns-single=1000", "--param=inline-unit-growth=200"]  # what handles a frame is one loop
SANITIZE = ["-fsanitize=address,undefined", "-fno-sanitize-recover=undefined"]

debug = os.environ.get("FASTMON_DEBUG", "0") not in {"", "0"}


def extension(name: str, *libraries: str) -> Extension:
    """Return the extension `fastmon.NAME`, whose native headers are compiled into it."""
    return Extension(
        f"fastmon.{name}",
        sources=[str(SOURCE / f"{name.replace('.', '/')}.pyx")],
        depends=HEADERS,
        include_dirs=[str(SOURCE / "native" / "live")],
        libraries=list(libraries),
        define_macros=[("FASTMON_DEBUG", "1")] if debug else [],
        extra_compile_args=["-O1", "-g", "-fno-omit-frame-pointer", *SANITIZE] if debug else ["-O3", "-g0", *INLINE],
        extra_link_args=SANITIZE if debug else [],
    )


class BuildTogether(build_ext):  # type: ignore[misc] # setuptools is not typed
    """Builds several extensions at once, each from its sources: never from a C file of another source or another mode."""

    def build_extensions(self) -> None:  # noqa: D102 - as setuptools has it
        directives = {
            "language_level": 3,
            "boundscheck": debug,
            "initializedcheck": debug,
            "wraparound": False,
            "cdivision": True,
        }
        self.parallel: int = self.parallel or len(os.sched_getaffinity(0))
        made = cythonize(  # type: ignore[no-untyped-call] # nor is Cython
            self.extensions,
            nthreads=self.parallel,
            force=True,
            quiet=True,
            build_dir=self.build_temp,
            compiler_directives=directives,
        )
        sources = {extension.name: extension.sources for extension in made}
        for extension in self.extensions:
            extension.sources = sources[extension.name]
        super().build_extensions()


setup(
    ext_modules=[
        extension("_accounting"),
        extension("native.decoder"),
        extension("native.exclusive"),
        extension("native.live_handle", "pcap"),
        extension("native.live_reader", "pcap"),
        extension("native.matchers"),
        extension("native.packet_text"),
        extension("native.pypcap_handle"),
        extension("native.readers", "pcap"),
    ],
    cmdclass={"build_ext": BuildTogether},
    options={
        "build": {"build_base": "build/debug" if debug else "build/release"},
        "build_ext": {"force": True},
    },
)
