# SPDX-License-Identifier: Apache-2.0
import logging
import os

import pytest

from clusterdns.observability import log
from clusterdns.observability.log import LineFormatter, LineHandler, configure, escape, set_debug


class Pipe:
    def __init__(self):
        self.reader, self.writer = os.pipe()

    def read(self, size=1 << 20):
        return os.read(self.reader, size).decode()

    def close_reader(self):
        os.close(self.reader)
        self.reader = -1

    def close(self):
        for descriptor in (self.reader, self.writer):
            if descriptor >= 0:
                os.close(descriptor)


@pytest.fixture
def pipe():
    pipe = Pipe()
    yield pipe
    pipe.close()


@pytest.fixture
def configured(pipe):
    root, ours = logging.getLogger(), logging.getLogger("clusterdns")
    levels = root.level, ours.level
    handler = configure(pipe.writer)
    yield pipe
    root.removeHandler(handler)
    root.setLevel(levels[0])
    ours.setLevel(levels[1])


@pytest.mark.parametrize(
    ("level", "line"),
    [
        (logging.DEBUG, "[DEBUG] text\n"),
        (logging.INFO, "[INFO] text\n"),
        (logging.WARNING, "[WARNING] text\n"),
        (logging.ERROR, "[ERROR] text\n"),
        (logging.CRITICAL, "[FATAL] text\n"),
    ],
)
def test_a_line_is_level_and_text(configured, level, line):
    set_debug(True)
    logging.getLogger("clusterdns.server").log(level, "te%s", "xt")
    assert configured.read() == line


def test_lines_of_plugins_say_so(configured):
    logging.getLogger("clusterdns.plugin.health").info("Going")
    assert configured.read() == "[INFO] plugin/health: Going\n"


def test_debug_lines_show_only_if_wanted(configured):
    logger = logging.getLogger("clusterdns.plugin.x")
    logger.debug("hidden")
    set_debug(True)
    logger.debug("seen")
    set_debug(False)
    logger.debug("hidden")
    logger.info("end")
    assert configured.read() == "[DEBUG] plugin/x: seen\n[INFO] plugin/x: end\n"


def test_other_libraries_show_from_warning_on(configured):
    logging.getLogger("elsewhere").info("hidden")
    logging.getLogger("elsewhere").warning("seen")
    assert configured.read() == "[WARNING] seen\n"


def test_configuring_again_does_not_double_lines(configured):
    configure(configured.writer)
    logging.getLogger("clusterdns").info("once")
    assert configured.read() == "[INFO] once\n"
    logging.getLogger().handlers = [
        handler for handler in logging.getLogger().handlers if not isinstance(handler, LineHandler)
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("plain, with blanks & ünïcode", "plain, with blanks & ünïcode"),
        ("a\nb\r\tc", r"a\x0ab\x0d\x09c"),
        ("\x1b[2J\x7f\x00", r"\x1b[2J\x7f\x00"),
        ("\x9b31m", r"\x9b31m"),
        (b"\xff\xfe".decode("utf-8", "surrogateescape"), r"\xff\xfe"),
        ("\ud800", r"\ud800"),
        ("a\u202eb\u2028c", r"a\u202eb\u2028c"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_is_not_printable_is_escaped(text, escaped):
    assert escape(text) == escaped


def test_hostile_text_stays_on_its_line(configured):
    logging.getLogger("clusterdns").error("name %s", "a\n[FATAL] not so")
    assert configured.read() == "[ERROR] name a\\x0a[FATAL] not so\n"


def test_each_line_of_a_traceback_is_a_line_of_the_log():
    try:
        raise ValueError("bad\nvalue\x1b")
    except ValueError as error:
        record = logging.getLogger("clusterdns").makeRecord(
            "clusterdns.plugin.x", logging.ERROR, "", 0, "failed", (), (ValueError, error, error.__traceback__)
        )
    lines = LineFormatter().format(record).split("\n")
    assert all(line.startswith("[ERROR] plugin/x: ") for line in lines)
    assert lines[0] == "[ERROR] plugin/x: failed"
    assert any(line.endswith("ValueError: bad") for line in lines)
    assert lines[-1].endswith(r"value\x1b")


def test_a_message_that_does_not_fit_its_arguments_is_told(pipe):
    record = logging.getLogger("clusterdns").makeRecord("clusterdns", logging.INFO, "", 0, "%d", ("x",), None)
    LineHandler(pipe.writer).emit(record)
    assert pipe.read().startswith("[ERROR] bad log message '%d': ")


def test_a_reader_that_is_gone_does_no_harm(pipe):
    handler = LineHandler(pipe.writer)
    handler.write("before")
    pipe.close_reader()
    for _ in range(3):
        handler.write("after")
    assert not handler._waiting


def test_a_slow_reader_gets_everything_that_fits_later(pipe, monkeypatch):
    monkeypatch.setattr(log, "MAX_WAITING_BYTES", 300_000)
    handler = LineHandler(pipe.writer)
    line = "x" * 999
    for _ in range(200):  # a pipe takes 64 KiB
        handler.write(line)
    got = ""
    while handler._waiting:
        got += pipe.read()
        handler.flush()
    got += pipe.read()
    assert got == (line + "\n") * 200


def test_lines_beyond_the_bound_are_left_out_and_counted(pipe, monkeypatch):
    monkeypatch.setattr(log, "MAX_WAITING_BYTES", 10_000)
    handler = LineHandler(pipe.writer)
    for number in range(200):
        handler.write(f"{number:03d}" + "x" * 996)
    got = ""
    while handler._waiting:
        got += pipe.read()
        handler.flush()
    handler.write("after")
    got += pipe.read()
    lines = got.splitlines()
    kept = [line[:3] for line in lines[:-2]]
    assert kept == [f"{number:03d}" for number in range(len(kept))]
    assert lines[-2:] == [f"[WARNING] log: {200 - len(kept)} lines left out, nobody read them in time", "after"]
