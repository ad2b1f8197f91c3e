from datetime import UTC, datetime

import pytest

from clinical_tl.errors import ConfigError
from clinical_tl.storage.clock import now


def test_the_time_is_the_environments_where_it_says_one(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert now() == datetime(1970, 1, 2, tzinfo=UTC)
    monkeypatch.delenv("SOURCE_DATE_EPOCH")
    assert now().year >= 2025


@pytest.mark.parametrize("given", ["today", "", "1e99", "9" * 30])
def test_a_time_that_is_none_is_refused(given, monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", given)
    with pytest.raises(ConfigError, match="seconds since 1970"):
        now()
