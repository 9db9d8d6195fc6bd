"""Owns the ``.twk`` file: a compiled kernel that runs without the compiler.

It is a plain zip: ``manifest.json`` (format, target, the tools' versions, a SHA-256 of each other member),
``plan.json``, the code (``code.o``, ``code.ptx``, ``code.cubin``), and notes such as the schedule. Equal artifacts give
equal bytes. The same bytes are the payload of a cache entry.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tilewright.runtime.errors import ArtifactError
from tilewright.runtime.plan import Plan, plan_from_json

ARTIFACT_FORMAT = 1
MEMBER_LIMIT = 1 << 28  # bytes of one unpacked member that a reader accepts
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip can state: no artifact depends on when it was written


@dataclass(frozen=True)
class Artifact:
    """A plan with its code.

    ``target`` is the row of the target as plain text values (``name``, ``arch``, ``cpu``, ``features``), ``code`` maps
    a form (``o``, ``ptx``, ``cubin``) to bytes, ``notes`` a file name to text (schedule, resources).
    """

    plan: Plan
    target: Mapping[str, str]
    code: Mapping[str, bytes]
    notes: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        members = {"plan.json": self.plan.to_json().encode()}
        members |= {f"code.{form}": data for form, data in sorted(self.code.items())}
        members |= {f"notes/{name}": text.encode() for name, text in sorted(self.notes.items())}
        manifest = {
            "format": ARTIFACT_FORMAT,
            "kernel": self.plan.kernel,
            "target": dict(self.target),
            "versions": dict(self.versions),
            "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in members.items()},
        }
        return _zip({"manifest.json": json.dumps(manifest, indent=1, sort_keys=True).encode(), **members})

    def save(self, path: Path) -> None:
        path.write_bytes(self.to_bytes())


def load(path: Path) -> Artifact:
    """The artifact in a file; ``ArtifactError`` TW1101 damaged, TW1102 another format, TW1104 absent."""
    try:
        data = path.read_bytes()
    except OSError as cause:
        raise ArtifactError("TW1104", f"cannot read {path}: {cause.strerror}") from cause
    return from_bytes(data, str(path))


def from_bytes(data: bytes, name: str = "artifact") -> Artifact:
    """The artifact that ``to_bytes`` wrote; every member is verified."""
    try:
        members = _unzip(data)
        manifest = json.loads(members.pop("manifest.json"))
        version = manifest["format"]
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, NotImplementedError, zlib.error) as cause:
        raise _damaged(name, str(cause)) from cause
    if version != ARTIFACT_FORMAT:
        raise ArtifactError(
            "TW1102", f"{name} has another format", expected=str(ARTIFACT_FORMAT), found=str(version),
            remedy="compile the kernel again with this version",
        )  # fmt: skip
    _verify(members, manifest, name)
    try:
        return _assemble(members, manifest)
    except (KeyError, ValueError, AttributeError) as cause:
        raise _damaged(name, str(cause)) from cause


def _assemble(members: Mapping[str, bytes], manifest: Mapping[str, dict[str, str]]) -> Artifact:
    return Artifact(
        plan=plan_from_json(members["plan.json"].decode()),
        target=manifest["target"],
        code={name.removeprefix("code."): body for name, body in members.items() if name.startswith("code.")},
        notes={
            name.removeprefix("notes/"): body.decode() for name, body in members.items() if name.startswith("notes/")
        },
        versions=manifest["versions"],
    )


def _verify(members: Mapping[str, bytes], manifest: Mapping[str, dict[str, str]], name: str) -> None:
    digests = manifest.get("sha256")
    found = {member: hashlib.sha256(body).hexdigest() for member, body in members.items()}
    if digests != found:
        raise _damaged(name, "contents do not match the manifest")


def _damaged(name: str, reason: str) -> ArtifactError:
    return ArtifactError("TW1101", f"{name} is damaged or not an artifact: {reason}", remedy="compile the kernel again")


def _zip(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, _EPOCH), data, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def _unzip(data: bytes) -> dict[str, bytes]:
    """Names to contents; refuses members that claim to be huge before unpacking them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for info in archive.infolist():
            if info.file_size > MEMBER_LIMIT:
                raise ValueError(f"{info.filename} is larger than {MEMBER_LIMIT} bytes")
        return {info.filename: archive.read(info) for info in archive.infolist()}
