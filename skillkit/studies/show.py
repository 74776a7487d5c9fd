"""Where an artifact or a run comes from, as text.

>>> print(show("prompt/3f2a"))                      # doctest: +SKIP
prompt/3f2a91…  made 2026-01-05T10:00:00Z in 31.2 s
"""

from pathlib import Path

from skillkit.core import store
from skillkit.core.errors import SkillkitError
from skillkit.core.files import read_json
from skillkit.studies.manifest import read_manifest


def show(what):
    """The provenance of an artifact (its folder, its id or the beginning of it), or a run (its folder) as text.

    >>> print(show("runs/embedded"))

    Raises SkillkitError when there is nothing of that name, or more than one artifact.
    """
    folder = Path(what)
    if any((folder / f"{name}.json").exists() for name in ("study", "sweep")):
        return _run(folder)
    if (folder / "manifest.json").exists():
        return _notebook(folder)
    found = [folder] if (folder / "meta.json").exists() else store.find(str(what))
    if len(found) != 1:
        some = ", ".join(f"{path.parent.name}/{path.name[:8]}" for path in found[:3])
        raise SkillkitError(
            f"{what!r} begins the ids of {len(found)} artifacts ({some}, …); give more of the id"
            if found
            else f"there is no artifact or run {what!r} (artifacts are looked for in {store.root()})"
        )
    return _artifact(found[0])


def _artifact(folder):
    meta = read_json(folder / "meta.json")
    fault = store.fault(folder)
    if meta is None:
        raise SkillkitError(
            f"the artifact {folder} is damaged ({fault}); it is computed again when it is asked for"
        )
    facts = {name: meta[name] for name in ("function", "version", "seed", "device", "dtype")}
    facts |= {"upstream": ", ".join(meta["upstream"]) or None, "damaged": fault}
    return "\n".join(
        [
            f"{meta['id']}  made {meta['made']} in {meta['seconds']:.1f} s",
            *_lines(facts),
            "  arguments",
            *("  " + line for line in _lines(meta["arguments"])),
            *_provenance(meta["provenance"]),
            "  files",
            *(
                "  " + line
                for line in _lines({name: checksum[:12] for name, checksum in meta["files"].items()})
            ),
        ]
    )


def _run(folder):
    """Every notebook of a study; of a grid a line per cell, whose folder says more."""
    manifest = read_manifest(folder)
    first = f"study {manifest['name']} in {folder}"
    if not manifest["axes"]:
        return "\n\n".join([first, *(_notebook(folder / cell["folder"]) for cell in manifest["cells"])])
    lines = [first]
    for cell in manifest["cells"]:
        own = read_json(folder / cell["folder"] / "manifest.json")
        state = f"{own['state']} {own['finished']}" if own else "not finished"
        lines.append(f"  {cell['name']}  {state}  {folder / cell['folder']}")
    return "\n".join(lines)


def _notebook(folder):
    manifest = read_json(folder / "manifest.json")
    if manifest is None:
        return f"{folder.name}  not finished"
    return "\n".join(
        [
            f"{manifest['notebook']}  {manifest['state']} {manifest['finished']} in {manifest['seconds']} s",
            *_lines({"error": manifest["error"]}),
            "  parameters",
            *("  " + line for line in _lines(manifest["parameters"], hide_none=False)),
            *_provenance(manifest["provenance"]),
        ]
    )


def _provenance(source):
    git = source["git"]
    revision = f"{git['revision']}{' with uncommitted changes' * git['dirty']}" if git else None
    versions = ", ".join(f"{name} {version}" for name, version in source["versions"].items())
    machine = f"{source['machine']['system']}, {source['machine']['cores']} cores"
    return _lines(
        {"revision": revision, "versions": versions, "source": source["source"], "machine": machine}
    )


def _lines(facts, hide_none=True):
    shown = {name: value for name, value in facts.items() if not (hide_none and value is None)}
    width = max(map(len, shown), default=0)
    return [f"  {name:<{width}}  {value}" for name, value in shown.items()]
