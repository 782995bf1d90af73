"""The configurations that a search tries."""

from __future__ import annotations

from tasks.lib import candidates
from tasks.lib.candidates import FIT, NETWORK
from tasks.lib.config import FitConfig, NetworkConfig


def test_other_candidates_the_second_time_or_when_more_are_drawn() -> None:
    few = candidates.draw(3, NetworkConfig(), FitConfig())
    assert candidates.draw(5, NetworkConfig(), FitConfig())[:3] == few
    assert len({candidate.fit.learning_rate for candidate in few}) == 3


def test_a_given_option_that_a_search_changes_or_that_shifts_the_others() -> None:
    free = candidates.draw(20, NetworkConfig(), FitConfig())
    bound = candidates.draw(20, NetworkConfig(units=7), FitConfig(), given={"units"})
    assert {candidate.network.units for candidate in bound} == {7}
    assert len({candidate.network.units for candidate in free}) > 2
    assert [candidate.fit for candidate in bound] == [candidate.fit for candidate in free]


def test_units_that_change_so_that_each_candidate_is_pretrained_again() -> None:
    drawn = candidates.draw(20, NetworkConfig(units=9, pretrain_epochs=1), FitConfig())
    assert {candidate.network.units for candidate in drawn} == {9}


def test_a_candidate_that_no_command_line_could_name() -> None:
    for network, fit in candidates.draw(200, NetworkConfig(), FitConfig()):
        assert NetworkConfig(**network.model_dump()) == network
        assert FitConfig(**fit.model_dump()) == fit
    assert NETWORK.keys() <= NetworkConfig.model_fields.keys()
    assert FIT.keys() <= FitConfig.model_fields.keys()
