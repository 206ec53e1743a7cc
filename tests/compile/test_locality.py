"""Locality groups, their priorities and weights."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadstead.compile.locality import (
    CLUSTER_LABEL,
    NETWORK_LABEL,
    PREFER_NODE,
    PREFER_ZONE,
    REGION_LABEL,
    SUBZONE_LABEL,
    ZONE_LABEL,
    Distribution,
    LocalityPlan,
    arrange,
    client_labels,
    group_endpoints,
    matches,
    parse_locality,
)
from roadstead.mesh import Endpoint, LocalityGroup


def endpoint(address: str, locality: str = "", weight: int = 1, tier: int = 0, **labels: str) -> Endpoint:
    made = client_labels({name.replace("_", "-"): value for name, value in labels.items()}, locality, "", "c1")
    return Endpoint(address, 80, weight=weight, labels=made, locality=locality, priority_tier=tier)


def ordered(
    localities: dict[str, int] | list[str],
    plan: LocalityPlan | None,
    client: str = "r1/z1/s1",
    labels: dict[str, str] | None = None,
) -> list[tuple[str, int, int]]:
    """(locality, priority, weight) of the groups of endpoints with these localities and weights."""
    weights = localities if isinstance(localities, dict) else dict.fromkeys(localities, 1)
    groups = group_endpoints([endpoint(f"10.0.0.{i}", where, weights[where]) for i, where in enumerate(weights)])
    made = arrange(groups, plan, parse_locality(client), client_labels(labels or {}, client, "", "c1"))
    return [(group.locality, group.priority, group.weight if group.endpoints else -1) for group in made]


def priorities(localities: list[str], plan: LocalityPlan | None, client: str = "r1/z1/s1") -> dict[str, int]:
    return {locality: priority for locality, priority, _ in ordered(localities, plan, client)}


class TestGroups:
    def test_are_in_the_order_of_their_text(self) -> None:
        made = group_endpoints([endpoint("a", "r2", 2), endpoint("b"), endpoint("c", "r2", 3), endpoint("d", "r1/z")])
        assert [(group.locality, group.weight) for group in made] == [("", 1), ("r1/z", 1), ("r2", 5)]
        assert [one.address for one in made[2].endpoints] == ["a", "c"]

    def test_are_kept_apart_by_the_text_not_by_its_meaning(self) -> None:
        assert len(group_endpoints([endpoint("a", "r1/z1"), endpoint("b", "r1/z1/")])) == 2

    def test_of_nobody(self) -> None:
        assert group_endpoints([]) == ()

    def test_weight_is_bounded(self) -> None:
        (group,) = group_endpoints([endpoint("a", "r", 2**32 - 1), endpoint("b", "r", 5)])
        assert group.weight == 2**32 - 1

    def test_are_split_by_the_outer_priority(self) -> None:
        made = group_endpoints([endpoint("a", "r", tier=2), endpoint("b", "r"), endpoint("c", "r", tier=2)])
        assert [(group.priority, len(group.endpoints)) for group in made] == [(0, 1), (2, 2)]


FAILOVER = LocalityPlan(failover_enabled=True)
TO_R2 = LocalityPlan(failover_enabled=True, failover=(("r9", "r3"), ("r1", "r2"), ("r1", "r3")))


class TestFailover:
    @pytest.mark.parametrize(
        ("plan", "client", "localities", "expected"),
        [
            (None, "r1/z1/s1", ["r1/z1/s1", "r2"], [0, 0]),
            (LocalityPlan(), "r1/z1/s1", ["r1/z1/s1", "r2"], [0, 0]),
            (LocalityPlan(failover=(("r1", "r2"),)), "r1/z1/s1", ["r1/z1/s1", "r2"], [0, 0]),
            (FAILOVER, "r1/z1/s1", ["r1/z1/s1", "r1/z1/s2", "r1/z2", "r2/z1", "r3/z1"], [0, 1, 2, 3, 3]),
            (TO_R2, "r1/z1/s1", ["r1/z1/s1", "r1/z1/s2", "r1/z2", "r2/z1", "r3/z1"], [0, 1, 2, 3, 4]),
            # Numbers have no gaps.
            (FAILOVER, "r1/z1/s1", ["r2", "r3"], [0, 0]),
            (TO_R2, "r1/z1/s1", ["r2", "r3"], [0, 1]),
            (FAILOVER, "r1/z1/s1", ["r1/z1", "r2"], [0, 1]),
            (FAILOVER, "", ["", "r1"], [0, 1]),
            (FAILOVER, "", ["r1", "r2"], [0, 0]),
            (FAILOVER, "r1", ["", "r1"], [1, 0]),
            (FAILOVER, "r1/z1/s1", ["r9"], [0]),
        ],
    )
    def test_levels(self, plan: LocalityPlan | None, client: str, localities: list[str], expected: list[int]) -> None:
        assert priorities(localities, plan, client) == dict(zip(localities, expected, strict=True))


def labelled(plan: LocalityPlan, labels: dict[str, str], *members: Endpoint, client: str = "") -> dict[str, int]:
    """Priority of each endpoint."""
    made = arrange(group_endpoints(members), plan, parse_locality(client), labels)
    return {one.address: group.priority for group in made for one in group.endpoints}


def by_labels(*names: str, **more: tuple[tuple[str, str], ...]) -> LocalityPlan:
    return LocalityPlan(failover_priority=names, failover_enabled=True, **more)


class TestFailoverPriority:
    A, B, C = endpoint("a", version="v1", cell="gold"), endpoint("b", version="v1"), endpoint("c", version="v2")

    def test_the_first_difference_decides(self) -> None:
        plan = by_labels("version", "cell")
        assert labelled(plan, {"version": "v1", "cell": "gold"}, self.A, self.B, self.C) == {"a": 0, "b": 1, "c": 2}
        # Labels that both lack are equal.
        assert labelled(plan, {"version": "v1"}, self.A, self.B, self.C) == {"a": 1, "b": 0, "c": 2}

    def test_a_given_value_stands_for_the_clients(self) -> None:
        plan = by_labels("version=v2", "cell=gold")
        assert labelled(plan, {"version": "v1"}, self.A, self.B, self.C) == {"a": 1, "b": 1, "c": 0}

    def test_a_value_with_an_equals_sign_is_no_value(self) -> None:
        assert labelled(by_labels("version=v=2"), {"version": "v1"}, self.A, self.C) == {"a": 0, "c": 1}

    def test_a_client_without_labels_has_no_preference(self) -> None:
        assert labelled(by_labels("version"), {}, self.A, self.C) == {"a": 0, "c": 0}

    def test_another_network_comes_after_all_of_the_clients_own(self) -> None:
        def at(address: str, network: str, where: str) -> Endpoint:
            return Endpoint(address, 80, labels=client_labels({}, where, network, "c1"), locality=where)

        members = [
            at("same", "n1", "r1/z1"),
            at("zone", "n1", "r1/z2"),
            at("region", "n1", "r2/z1"),
            at("net", "n2", "r1/z1"),
            at("net-zone", "n2", "r1/z2"),
            at("net-region", "n2", "r2/z1"),
        ]
        mine = client_labels({}, "r1/z1", "n1", "c1")
        found = labelled(by_labels(*PREFER_ZONE), mine, *members)
        assert found == {"same": 0, "zone": 1, "region": 2, "net": 3, "net-zone": 4, "net-region": 5}

    def test_of_a_node(self) -> None:
        here, there = [
            Endpoint(name, 80, labels=client_labels({"kubernetes.io/hostname": name}, "r1/z1", "", "c1"))
            for name in ("here", "there")
        ]
        mine = client_labels({"kubernetes.io/hostname": "here"}, "r1/z1", "", "c1")
        assert labelled(by_labels(*PREFER_NODE), mine, here, there) == {"here": 0, "there": 1}

    def test_failover_orders_inside_each_level(self) -> None:
        members = [
            endpoint("near", "r1/z1", version="v1"),
            endpoint("far", "r2", version="v1"),
            endpoint("near-other", "r1/z1"),
            endpoint("farther", "r3", version="v1"),
        ]
        plan = by_labels("version", failover=(("r1", "r2"),))
        found = labelled(plan, {"version": "v1"}, *members, client="r1/z1")
        assert found == {"near": 0, "far": 1, "farther": 2, "near-other": 3}

    def test_one_locality_becomes_several_groups(self) -> None:
        made = arrange(
            group_endpoints([endpoint("a", "r1", 2, version="v1"), endpoint("b", "r1", 3), endpoint("c", "r1", 5)]),
            by_labels("version"),
            parse_locality("r1"),
            {"version": "v1"},
        )
        assert [(group.locality, group.priority, group.weight) for group in made] == [("r1", 0, 2), ("r1", 1, 8)]


def shares(from_: str, **to: int) -> LocalityPlan:
    rule = Distribution(
        from_, tuple([(name.replace("__", "/*").replace("_", "/"), share) for name, share in to.items()])
    )
    return LocalityPlan(distribute=(rule,))


class TestDistribute:
    def test_shares_follow_the_weights_inside_a_target(self) -> None:
        weights = {"r1/z1/a": 3, "r1/z1/b": 1, "r1/z2": 5, "r2": 4}
        plan = shares("r1/*", r1_z1__=80, r1_z2__=20)
        assert ordered(weights, plan, "r1/z1") == [
            ("r1/z1/a", 0, 60),
            ("r1/z1/b", 0, 20),
            ("r1/z2", 0, 20),
            # Nobody goes where no target is; the weight stays as it was.
            ("r2", 0, -1),
        ]

    def test_shares_are_rounded_up(self) -> None:
        assert ordered({"r1/a": 1, "r1/b": 1, "r1/c": 1}, shares("*", r1__=100), "r1") == [
            ("r1/a", 0, 34),
            ("r1/b", 0, 34),
            ("r1/c", 0, 34),
        ]

    def test_the_closest_target_takes_a_group(self) -> None:
        assert ordered({"r1/z1": 1, "r1/z2": 1}, shares("*", r1__=20, r1_z1=80), "r1") == [
            ("r1/z1", 0, 80),
            ("r1/z2", 0, 20),
        ]

    def test_the_first_rule_for_the_client_holds(self) -> None:
        plan = LocalityPlan(
            distribute=(
                Distribution("r2/*", (("r2/*", 100),)),
                Distribution("r1/*", (("r1/*", 100),)),
                Distribution("*", (("r3/*", 100),)),
            )
        )
        localities = {"r1": 1, "r2": 1, "r3": 1}
        assert [one for one, _, weight in ordered(localities, plan, "r1/z9") if weight >= 0] == ["r1"]
        assert [one for one, _, weight in ordered(localities, plan, "r9") if weight >= 0] == ["r3"]

    def test_without_a_rule_for_the_client_nothing_changes(self) -> None:
        assert ordered({"r1": 2, "r2": 3}, shares("r9/*", r1__=100)) == [("r1", 0, 2), ("r2", 0, 3)]

    def test_it_comes_before_failover(self) -> None:
        plan = LocalityPlan(distribute=shares("*", r1__=50, r2__=50).distribute, failover_enabled=True)
        assert {priority for _, priority, _ in ordered({"r1/z1/s1": 1, "r2": 1}, plan)} == {0}


class TestZoneAware:
    def test_regions_are_the_levels(self) -> None:
        plan = LocalityPlan(failover=(("r1", "r2"),), failover_enabled=True, zone_aware=True)
        found = priorities(["r1/z1", "r1/z2", "r2/z1", "r3/z1", ""], plan)
        assert found == {"r1/z1": 0, "r1/z2": 0, "r2/z1": 1, "r3/z1": 2, "": 2}


@pytest.mark.parametrize(
    ("locality", "pattern", "expected"),
    [
        ("r/z/s", "*", True),
        ("", "*", True),
        ("r/z/s", "r", True),
        ("r/z/s", "r/*", True),
        ("r/z/s", "r/z", True),
        ("r/z/s", "r/z/s", True),
        ("r/z/s", "*/z/s", True),
        ("r/z/s", "*/x", False),
        ("r/z/s", "r/z/t", False),
        ("r", "r/z", False),
        ("", "r/*", False),
        ("rr", "r/*", False),
    ],
)
def test_patterns(locality: str, pattern: str, expected: bool) -> None:
    assert matches(parse_locality(locality), pattern) is expected


def test_labels_of_a_client() -> None:
    made = client_labels({"app": "x", NETWORK_LABEL: "mine", ZONE_LABEL: "old"}, "r/z/s", "n1", "c1")
    assert made == {
        "app": "x",
        NETWORK_LABEL: "mine",
        REGION_LABEL: "r",
        ZONE_LABEL: "z",
        SUBZONE_LABEL: "s",
        CLUSTER_LABEL: "c1",
    }
    assert client_labels({}, "", "n1", "") == {NETWORK_LABEL: "n1"}


PLACE = st.sampled_from(["", "r1", "r1/z1", "r1/z1/s1", "r1/z2", "r2/z1", "r3"])
MEMBERS = st.lists(
    st.builds(
        endpoint,
        st.integers(0, 99).map(str),
        PLACE,
        st.integers(1, 50),
        st.integers(0, 2),
        version=st.sampled_from(["v1", "v2"]),
    ),
    max_size=10,
)
PLANS = st.one_of(
    st.none(),
    st.builds(
        LocalityPlan,
        failover=st.sampled_from([(), (("r1", "r2"),)]),
        failover_priority=st.sampled_from([(), ("version",), ("version=v2", REGION_LABEL)]),
        failover_enabled=st.booleans(),
        zone_aware=st.booleans(),
    ),
)


@settings(max_examples=200)
@given(MEMBERS, PLANS, PLACE)
def test_priorities_have_no_gaps_and_nobody_is_lost(
    members: list[Endpoint], plan: LocalityPlan | None, client: str
) -> None:
    made = arrange(group_endpoints(members), plan, parse_locality(client), {"version": "v1"})
    levels = {group.priority for group in made}
    assert levels == set(range(len(levels)))
    assert sorted(one.address for group in made for one in group.endpoints) == sorted(one.address for one in members)
    for group in made:
        assert group.weight == sum(one.weight for one in group.endpoints)
        assert {one.locality for one in group.endpoints} == {group.locality}
    # An outer level is exhausted before the next one begins.
    of_tier = {
        tier: [group.priority for group in made for one in group.endpoints if one.priority_tier == tier]
        for tier in (0, 1, 2)
    }
    for better, worse in ((0, 1), (1, 2), (0, 2)):
        if of_tier[better] and of_tier[worse]:
            assert max(of_tier[better]) < min(of_tier[worse])


@settings(max_examples=100)
@given(MEMBERS, PLACE)
def test_groups_that_keep_their_place_are_the_same_objects(members: list[Endpoint], client: str) -> None:
    level = [one for one in members if one.priority_tier == 0]
    groups: tuple[LocalityGroup, ...] = group_endpoints(level)
    assert arrange(groups, LocalityPlan(), parse_locality(client), {}) is groups
