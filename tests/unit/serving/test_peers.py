# SPDX-License-Identifier: Apache-2.0
from clusterdns.serving.peers import Peers


class Process:
    pass


def test_plugins_of_one_process_see_each_other_oldest_first():
    peers = Peers()
    one, other = Process(), Process()
    for process, plugin in ((one, "a"), (one, "b"), (other, "c")):
        peers.join(process, plugin)
    assert peers.all(one) == ("a", "b")
    assert peers.all(other) == ("c",)
    peers.leave(one, "a")
    peers.leave(one, "a")
    assert peers.all(one) == ("b",)


def test_a_process_that_is_gone_is_forgotten():
    peers = Peers()
    process = Process()
    peers.join(process, "a")
    del process
    assert len(peers._started) == 0
