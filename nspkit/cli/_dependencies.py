"""What a distribution needs, by its metadata, against what is installed.

Nothing is imported for this but the means to read metadata.

Dependency specifiers: https://packaging.python.org/en/latest/specifications/dependency-specifiers/
"""

from __future__ import annotations

import sys
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from typing import TYPE_CHECKING, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Dependency(NamedTuple):
    """One thing that a distribution needs.

    Attributes:
        requirement: It, as the metadata say it.
        installed: The version that is installed, or None.
        problem: What is wrong, or None.
    """

    requirement: str
    installed: str | None
    problem: str | None


def dependencies_of(name: str) -> list[Dependency]:
    """Return what a distribution needs itself, without its extras; nothing if it is not there."""
    found = _distribution(name)
    return [] if found is None else list(_needs(found, ()))


def problems_of(name: str) -> list[str]:
    """Return what is wrong with all that a distribution needs, and that needs in turn."""
    problems: list[str] = []
    found = _distribution(name)
    waiting: list[tuple[str, Distribution, tuple[str, ...]]] = []
    if found is not None:
        waiting.append((name, found, ()))
        problems += _python_problems(found)
    seen = set()
    for way, holder, extras in waiting:  # it grows meanwhile
        for need in _needs(holder, extras):
            if need.problem is not None:
                problems.append(f"{way} {need.problem}")
                continue
            requirement = Requirement(need.requirement)
            key = (canonicalize_name(requirement.name), *sorted(requirement.extras))
            further = _distribution(requirement.name)
            if further is not None and key not in seen:
                seen.add(key)
                way_there = f"{way} needs {requirement.name}, which"
                waiting.append((way_there, further, tuple(requirement.extras)))
    return problems


def _needs(holder: Distribution, extras: Iterable[str]) -> Iterator[Dependency]:
    for text in holder.requires or ():
        try:
            requirement = Requirement(text)
        except InvalidRequirement as error:
            reason = " ".join(str(error).split())
            yield Dependency(text, None, f"has a requirement that cannot be read: {reason}")
            continue
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield _looked_at(requirement, text)


def _looked_at(requirement: Requirement, text: str) -> Dependency:
    found = _distribution(requirement.name)
    wanted = f"{requirement.name}{requirement.specifier}"
    way_out = f"pip install '{wanted}'"
    if found is None:
        return Dependency(text, None, f"needs {wanted}, which is not installed; {way_out}")
    version = found.version
    try:
        fits = requirement.specifier.contains(Version(version), prereleases=True)
    except InvalidVersion:
        fits = not requirement.specifier
    problem = None if fits else f"needs {wanted}, and {version} is installed; {way_out}"
    return Dependency(text, version, problem)


def _python_problems(holder: Distribution) -> Iterator[str]:
    wanted = holder.metadata["Requires-Python"] or ""
    version = ".".join(map(str, sys.version_info[:3]))
    try:
        fits = SpecifierSet(wanted).contains(version, prereleases=True)
    except InvalidSpecifier:
        return
    if not fits:
        name = holder.metadata["Name"]
        yield f"{name} needs Python {wanted}, and this is {version}; install another release of it"


def _distribution(name: str) -> Distribution | None:
    try:
        found = distribution(name)
    except (PackageNotFoundError, ValueError):
        return None
    # A folder without metadata, which an interrupted removal leaves, has no version.
    return found if found.metadata["Version"] else None
