# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from clusterdns.cluster.controllers.plane import Fault
from clusterdns.cluster.declared import DeclaredPod
from clusterdns.cluster.manifests.directory import Directory
from clusterdns.cluster.manifests.parts import Content, parse_manifest
from clusterdns.errors import ManifestError


def pods(path: str, **addresses: str) -> Content:
    text = "".join(
        f"---\nkind: Pod\nmetadata: {{name: {name}}}\nstatus: {{podIP: {address}}}\n"
        for name, address in addresses.items()
    )
    return parse_manifest(text.encode(), path)


def put(directory: Directory, path: str, **addresses: str) -> dict[str, str]:
    return told(directory.put(path, pods(path, **addresses)))


def told(changes: list) -> dict[str, str]:
    return {key[1]: new.ips[0] if isinstance(new, DeclaredPod) else "gone" for _, key, new in changes}


def problems(directory: Directory, *faults: Fault) -> list[str]:
    return [str(problem) for problem in directory.problems(faults)]


def test_only_what_changes_is_told():
    directory = Directory()
    assert put(directory, "a", x="10.0.0.1", y="10.0.0.2") == {"x": "10.0.0.1", "y": "10.0.0.2"}
    assert put(directory, "a", y="10.0.0.2", x="10.0.0.9", z="10.0.0.3") == {"x": "10.0.0.9", "z": "10.0.0.3"}
    assert put(directory, "a", z="10.0.0.3") == {"x": "gone", "y": "gone"}
    assert told(directory.remove("a")) == {"z": "gone"}
    assert directory.remove("a") == []


def test_of_an_object_in_two_files_the_later_path_counts_whatever_comes_first():
    directory = Directory()
    assert put(directory, "b", x="10.0.0.2") == {"x": "10.0.0.2"}
    assert put(directory, "a", x="10.0.0.1") == {}
    assert put(directory, "c", x="10.0.0.3") == {"x": "10.0.0.3"}
    assert problems(directory) == [
        "a:2: Pod default/x is also in c:2, which is the one that counts",
        "b:2: Pod default/x is also in c:2, which is the one that counts",
    ]
    assert put(directory, "a", x="10.0.0.9") == {}
    assert told(directory.remove("c")) == {"x": "10.0.0.2"}
    assert told(directory.remove("b")) == {"x": "10.0.0.9"}
    assert problems(directory) == []
    assert told(directory.remove("a")) == {"x": "gone"}


def broken(path: str, text: str = "") -> Content:
    return parse_manifest(f"{text}---\nkind: Pod\nmetadata: {{name: X}}\n".encode(), path)


def test_a_broken_file_keeps_its_last_good_content_until_it_is_good_again():
    directory = Directory()
    put(directory, "a", x="10.0.0.1")
    assert directory.put("a", broken("a")) == []
    assert len(problems(directory)) == 1
    assert put(directory, "a", x="10.0.0.1") == {}
    assert problems(directory) == []


def test_what_can_be_read_of_a_file_that_never_was_good_counts():
    directory = Directory()
    pod = "kind: Pod\nmetadata: {name: x}\nstatus: {podIP: 10.0.0.1}\n"
    assert told(directory.put("a", broken("a", pod))) == {"x": "10.0.0.1"}
    assert told(directory.put("a", broken("a", pod.replace("0.1", "0.2")))) == {"x": "10.0.0.2"}


def test_an_unreadable_file_keeps_its_content():
    directory = Directory()
    directory.refuse("a", ManifestError("Permission denied", file="a"))
    assert problems(directory) == ["a: Permission denied"]
    put(directory, "a", x="10.0.0.1")
    assert problems(directory) == []
    directory.refuse("a", ManifestError("Permission denied", file="a"))
    assert told(directory.remove("a")) == {"x": "gone"}


def test_faults_of_objects_are_problems_at_the_place_that_counts():
    directory = Directory()
    put(directory, "a", w="10.0.0.1", x="10.0.0.1")
    assert problems(directory, Fault("Pod", ("default", "x"), "odd")) == ["a:6: Pod default/x: odd"]


def test_ignored_kinds_are_summed_up():
    directory = Directory()
    for path in ("a", "b"):
        directory.put(path, parse_manifest(b"kind: ConfigMap\n---\nkind: Secret", path))
    directory.remove("a")
    assert directory.ignored == {"ConfigMap": 1, "Secret": 1}
