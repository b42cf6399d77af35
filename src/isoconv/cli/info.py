"""``isoconv info``: the machine, the caches, the versions."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoconv.cli.options import AsJson, TargetName
from isoconv.cli.table import print_json, say

if TYPE_CHECKING:
    from isoconv.compile.cpus import Core
    from isoconv.compile.native.cache import KernelCache

NOTABLE = ("sse4.2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512vl", "neon", "sve")
OWN, DEVELOPMENT = "isoconv", "dev"
"""The package's name, and the extra of those who work on it."""
_REQUIREMENT = re.compile(r"([\w.-]+).*?(?:; *extra *== *[\"']([\w.-]+)[\"'])?")
"""A package and the extra that asks for it, as metadata of packages have them."""


def info(
    clear_cache: Annotated[
        bool,
        typer.Option("--clear-cache", help="Remove all compiled kernels and decoded pictures."),
    ] = False,
    as_json: AsJson = False,
    target: TargetName = None,
) -> None:
    """Show the machine, the caches and the versions.

    Examples:
      isoconv info
      isoconv info --clear-cache
    """
    from isoconv.compile.native import measured
    from isoconv.compile.native.cache import KernelCache, default_folder
    from isoconv.data.cache import open_cache

    folder = default_folder()
    cache = None if folder is None else KernelCache(folder)
    if clear_cache:
        count = 0 if cache is None else cache.clear()
        measured.forget()
        say(f"removed {count:,} compiled kernel{'' if count == 1 else 's'}")
        with open_cache(wanted=True) as kept:
            pictures = 0 if kept is None else kept.clear()
        say(f"removed {pictures:,} decoded picture{'' if pictures == 1 else 's'}")
        if as_json:
            print_json({"removed_kernels": count, "removed_pictures": pictures})
        return
    rows = [*_machine(target), *_cache(cache), *_versions()]
    if as_json:
        print_json(_plain(rows))
        return
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"{name.ljust(width)}  {value}")


def _plain(rows: list[tuple[str, str]]) -> dict[str, str]:
    """What is shown, by name; lines without a name belong to the one above."""
    found: dict[str, str] = {}
    last = ""
    for name, value in rows:
        last = name or last
        key = last.replace(" ", "_")
        found[key] = f"{found[key]}; {value}" if key in found else value
    return found


def _machine(target: str | None) -> list[tuple[str, str]]:
    import platform

    import llvmlite.binding as llvm

    from isoconv.compile.target import host_target, target_named
    from isoconv.run.team import default_threads

    chosen = host_target() if target is None else target_named(target)
    present = llvm.get_host_cpu_features()
    features = [name for name in NOTABLE if present.get(name, False)]
    fused = "fused multiply-add" if chosen.fma else "fused multiply-add emulated exactly"
    return [
        ("machine", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("processor", f"{_processor()} ({llvm.get_host_cpu_name()})"),
        ("threads", str(default_threads())),
        ("features", " ".join(features) or "none of note"),
        ("target", chosen.name),
        (
            "vectors",
            f"{chosen.vector_bytes * 8} bits ({chosen.lanes('float32')} float32), "
            f"{chosen.registers} registers, {fused}",
        ),
        *_core(chosen.core),
    ]


def _core(core: Core) -> list[tuple[str, str]]:
    """What tiles are chosen by, and where it is from."""
    return [
        (
            "core",
            f"vectors begun in a cycle: {core.fmas:g} in FMAs, {core.loads:g} in loads, "
            f"{core.stores:g} in stores; an FMA takes {core.latency} cycles ({core.origin})",
        ),
        (
            "",
            f"its own caches: {core.sets * core.ways / 16:,.0f} KiB and "
            f"{core.own_cache / 2**10:,.0f} KiB",
        ),
    ]


def _processor() -> str:
    """The processor's own name, where Linux tells it."""
    import platform

    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    except OSError:
        pass
    return platform.processor() or "unknown processor"


def _cache(cache: KernelCache | None) -> list[tuple[str, str]]:
    from isoconv.data import default_folder

    if cache is None:
        nowhere = "nowhere: this user has no home folder"
        return [(name, nowhere) for name in ("kernel cache", "picture cache", "data sets")]
    entries = cache.entries()
    size = sum(entry[1] for entry in entries)
    return [
        ("kernel cache", str(cache.folder)),
        (
            "",
            f"{len(entries):,} kernels, {size / 2**20:.1f} MiB of at most "
            f"{cache.bound / 2**20:.0f} MiB",
        ),
        *(("", line) for line in cache.refused),
        *_pictures(),
        ("data sets", str(default_folder())),
    ]


def _pictures() -> list[tuple[str, str]]:
    """Where decoded pictures are kept, and how much room they take."""
    from isoconv.data.cache import open_cache

    with open_cache(wanted=True) as cache:
        if cache is None:
            return []
        count, size, room = cache.size()
        return [
            ("picture cache", str(cache.folder)),
            (
                "",
                f"{count:,} pictures, {size / 2**20:.1f} MiB of at most "
                f"{cache.bound / 2**20:.0f} MiB, in a file of {room / 2**20:.1f} MiB",
            ),
            *(("", line) for line in cache.refused),
        ]


def _versions() -> list[tuple[str, str]]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import llvmlite.binding as llvm

    from isoconv import __version__
    from isoconv.arithmetic import ARITHMETIC_VERSION

    rows = [
        (OWN, __version__),
        ("arithmetic", str(ARITHMETIC_VERSION)),
        ("python", platform.python_version()),
    ]
    packages = _packages()
    if not packages:
        rows.append(("packages", f"{OWN} is not installed as a package, which would name them"))
    for package, extra in packages.items():
        try:
            found = version(package)
        except PackageNotFoundError:
            named = f"[{extra}]" if extra else ""
            found = f"not installed (pip install '{OWN}{named}')"
        if package == "llvmlite":
            found += f" (LLVM {'.'.join(str(part) for part in llvm.llvm_version_info)})"
        rows.append((package, found))
    return rows


def _packages() -> dict[str, str]:
    """The packages that isoconv asks for, each with the extra that it belongs to, "" for none."""
    from importlib.metadata import PackageNotFoundError, requires

    try:
        asked = requires(OWN) or []
    except PackageNotFoundError:
        # Used out of its sources alone.
        asked = []
    found: dict[str, str] = {}
    for each in asked:
        if match := _REQUIREMENT.fullmatch(each):
            package, extra = match[1], match[2] or ""
            if extra != DEVELOPMENT and package != OWN:
                found.setdefault(package, extra)
    return found
