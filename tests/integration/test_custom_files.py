# SPDX-License-Identifier: Apache-2.0
"""k3s's Corefile with files of others beside it, which come, go and clash while the server runs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dns.rcode
from support.upstream import UpstreamThread, address_text

REPOSITORY = Path(__file__).resolve().parents[2]
COREFILE = """\
.:PORT {
    bind 127.0.0.1
    errors
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        manifests MANIFESTS
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
    }
    cache 30
    loop
    reload
    loadbalance
    import custom/*.override
    forward . UPSTREAM
}
import custom/*.server
"""
OVERRIDE = "hosts {\n    192.0.2.7 printer.corp.test\n    fallthrough\n}\n"
SERVER = "other.test:PORT {\n    bind 127.0.0.1\n    template IN A other.test {\n        rcode NXDOMAIN\n    }\n}\n"


def test_custom_files_come_and_go(start_server: Any, tmp_path: Path) -> None:
    custom = tmp_path / "custom"
    custom.mkdir()
    (tmp_path / "manifests").mkdir()
    corefile = tmp_path / "Corefile"
    with UpstreamThread() as upstream:
        text = COREFILE.replace("MANIFESTS", str(tmp_path / "manifests")).replace("UPSTREAM", upstream.address)
        corefile.write_text(text)
        server = start_server("-conf", str(corefile))
        reloads = 0

        def reload(words: str) -> None:
            """Ask for a reload, and wait until its end is logged."""
            nonlocal reloads
            reloads += 1
            server.process.send_signal(signal.SIGUSR1)
            end = time.monotonic() + 10
            while server.output().count("Reloading complete") + server.output().count("Restart failed") < reloads:
                assert time.monotonic() < end, server.output()
                time.sleep(0.01)
            assert words in server.output()

        def addresses(name: str) -> list[str]:
            reply = server.ask(name, "A")
            return [item.address for item in reply.answer[0]] if reply.answer else [dns.rcode.to_text(reply.rcode())]

        assert server.output().count("No files matching import glob pattern: custom/") == 2
        assert addresses("printer.corp.test.") == [address_text("printer.corp.test.")]
        (custom / "printer.override").write_text(OVERRIDE)
        (custom / "other.server").write_text(SERVER.replace("PORT", str(server.port)))
        reload("Reloading complete")
        assert addresses("printer.corp.test.") == ["192.0.2.7"]
        assert addresses("www.other.test.") == ["NXDOMAIN"]
        assert addresses("www.test.") == [address_text("www.test.")]

        (custom / "clash.server").write_text(SERVER.replace("PORT", str(server.port)))
        (custom / "notes.txt").write_text("not a Corefile")
        reload("Restart failed")
        assert addresses("www.other.test.") == ["NXDOMAIN"]
        command = [sys.executable, "-m", "clusterdns", "check", str(corefile)]
        result = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60)
        assert result.returncode == 1
        assert f"the first one is in {custom}/clash.server:1" in result.stdout
        assert f"imported by nothing: {custom}/notes.txt" in result.stdout

        for path in custom.iterdir():
            path.unlink()
        reload("Reloading complete")
        assert addresses("www.other.test.") == [address_text("www.other.test.")]
