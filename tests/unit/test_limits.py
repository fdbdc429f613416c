"""Limits and the counts that workers share, without a process."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from segue.proxy.limits import Ledger, Limits, shared_memory, show

ADDRESSES = st.one_of(
    st.ip_addresses(v=4).map(str), st.ip_addresses(v=6).map(str), st.sampled_from(["local", "", "fe80::1%eth0"])
)


def test_all_workers_count_together() -> None:
    handle = shared_memory(3)
    try:
        one, two, three = (Ledger(n, handle) for n in range(3))
        one.clients(4)
        three.clients(5)
        assert two.all_clients() == 9
        again = Ledger(0, handle)  # the first worker died and is there again
        assert two.all_clients() == 5
        assert [two.failed("10.0.0.1", 100.0 + n, 60) for n in range(3)] == [1, 2, 3]
        assert again.failed("10.0.0.1", 105.0, 60) == 4
        assert three.failures("10.0.0.1", 110.0, 60) == (4, 55.0)
        assert three.failures("10.0.0.1", 161.0, 60) == (1, 4.0), "the window of worker two is over"
        assert three.failures("10.0.0.2", 110.0, 60) == (0, 0.0)
    finally:
        os.close(handle)


def test_an_ipv6_subscriber_is_one_address() -> None:
    ledger = Ledger()
    assert ledger.failed("2001:db8:1:2::1", 0, 60) == 1
    assert ledger.failed("2001:db8:1:2:ffff::9", 0, 60) == 2
    assert ledger.failed("2001:db8:1:3::1", 0, 60) == 1
    assert ledger.failed("::ffff:10.0.0.1", 0, 60) == 1
    assert ledger.failed("10.0.0.1", 0, 60) == 2


@given(st.lists(ADDRESSES, max_size=200))
def test_any_number_of_addresses(hosts: list[str]) -> None:
    """Counts are never too high, and the one who fails now is always counted."""
    ledger = Ledger()
    for number, host in enumerate(hosts):
        assert 1 <= ledger.failed(host, number, 1e9) <= number + 1


def test_trusted_networks() -> None:
    limits = Limits.from_message({"max_clients": 5, "proxy_protocol_from": ["10.1.0.0/16", "fd00::/8"]})
    assert limits.trusts("10.1.2.3")
    assert limits.trusts("fd00::1%eth0")
    assert not limits.trusts("10.2.0.1")
    assert not limits.trusts("")
    assert not Limits().trusts("10.1.2.3")
    assert Limits.from_message(limits.message()) == limits
    assert show(("::1", 5)) == "[::1]:5"
