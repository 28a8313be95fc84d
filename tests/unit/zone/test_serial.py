# SPDX-License-Identifier: Apache-2.0
from clusterdns.zone.serial import Serial


def test_it_is_the_time_of_the_last_change():
    serial = Serial()
    assert serial.number == 0
    assert serial.advance(100.9) == 100
    assert serial.advance(100.95) == 100
    assert serial.advance(101.0) == serial.number == 101


def test_what_was_given_away_is_never_changed_under_its_number():
    serial = Serial()
    serial.advance(100.1)
    serial.give()
    assert serial.advance(100.2) == 101
    assert serial.advance(100.3) == 101
    serial.give()
    serial.give()
    assert serial.advance(100.4) == 102
    assert serial.advance(102.0) == 102
    assert serial.advance(103.0) == 103


def test_it_never_goes_back_with_the_clock():
    serial = Serial()
    serial.advance(200)
    assert serial.advance(100) == 200
    serial.give()
    assert serial.advance(100) == 201
