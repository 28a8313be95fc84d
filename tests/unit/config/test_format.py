# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from clusterdns.config.format import format_text
from clusterdns.errors import ConfigErrors


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("# only\n\n\n#  this \n", "# only\n\n#  this\n"),
        (".:53 {\n\twhoami\n}", ".:53 {\n    whoami\n}\n"),
        (".:53\n\n{\nwhoami\n}\n", ".:53 {\n    whoami\n}\n"),
        (". {   log   x\n}\n", ". {\n    log x\n}\n"),
        (". { }\n", ". {\n}\n"),
        (". {\n\n\nlog\n\n\n\nwhoami\n\n}\n", ". {\n    log\n\n    whoami\n}\n"),
        (". {\nhealth {\nlameduck 5s\n}\n}\n", ". {\n    health {\n        lameduck 5s\n    }\n}\n"),
        (
            ". {\nkubernetes a { pods insecure\n}\n}\n",
            ". {\n    kubernetes a {\n        pods insecure\n    }\n}\n",
        ),
        ("a {\n}\nb {\n}\n", "a {\n}\n\nb {\n}\n"),
        ("a {\n} b {\n}\n", "a {\n}\n\nb {\n}\n"),
        ("a {\n} # end\n# next\nb {\n}\n", "a {\n} # end\n\n# next\nb {\n}\n"),
        ("import a\nimport b\n\n\n(s) {\nlog\n}\n", "import a\nimport b\n\n(s) {\n    log\n}\n"),
        ("a,\n  b {\n}\n", "a,\nb {\n}\n"),
        ("  .\n  whoami\n", ".\nwhoami\n"),
        (". {\nlog#glued here\nwhoami # b  \n}\n", ". {\n    log #glued here\n    whoami # b\n}\n"),
        (". # c\n# d\n{ # e\n}\n", ". { # c\n    # d\n    # e\n}\n"),
        (". {\n# first\nlog\n# last\n}\n", ". {\n    # first\n    log\n    # last\n}\n"),
        ('. {\nlog  "a  \\"b\\"\n  c"   d\n}\n', '. {\n    log "a  \\"b\\"\n  c" d\n}\n'),
        ('.\nlog "a', '.\nlog "a"\n'),
        ("\ufeff.\r\nlog\r\n", ".\nlog\n"),
        ("(s) {\na\n{\n}\n}\n", "(s) {\n    a\n    {\n    }\n}\n"),
    ],
)
def test_layout(text: str, expected: str) -> None:
    assert format_text(text) == expected
    assert format_text(expected) == expected


def test_text_that_cannot_be_parsed_is_refused_with_all_positions() -> None:
    with pytest.raises(ConfigErrors) as raised:
        format_text(". {\n log }\n}\n}\n", "my.conf")
    assert [str(error) for error in raised.value.errors] == [
        "my.conf:2:6: Unexpected '}' because no matching opening brace",
        "my.conf:4:1: Unexpected '}' because no matching opening brace",
    ]


def test_unknown_directives_and_missing_imports_are_no_matter() -> None:
    assert format_text(". {\nnope\nimport gone\n}\n") == ". {\n    nope\n    import gone\n}\n"
