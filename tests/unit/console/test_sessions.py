"""Sessions: who has one, until when, and what proves that a page of ours asks."""

from __future__ import annotations

from pelton.console.sessions import SESSION_S, Sessions

TOKEN = b"a-secret-of-the-tests-0123456789"


class Time:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def test_a_session_counts_until_its_end() -> None:
    time = Time()
    sessions = Sessions(TOKEN, time)
    session = sessions.open()
    assert sessions.holds(session)
    time.now_s += SESSION_S - 1
    assert sessions.holds(session)
    time.now_s += 2
    assert not sessions.holds(session)


def test_every_worker_with_the_token_knows_a_session_and_nobody_else_can_make_one() -> None:
    session = Sessions(TOKEN, Time()).open()
    assert Sessions(TOKEN, Time()).holds(session)
    assert not Sessions(b"another-secret-of-the-tests-0123", Time()).holds(session)
    end, rest = session.split(".", 1)
    for forged in (f"{int(end) + 1}.{rest}", session[:-1], "", ".", "..", "x.y.z", "ü", TOKEN.decode()):
        assert not Sessions(TOKEN, Time()).holds(forged), forged
    assert TOKEN.decode() not in session


def test_a_csrf_token_is_that_of_one_session() -> None:
    sessions = Sessions(TOKEN, Time())
    one, other = sessions.open(), sessions.open()
    assert one != other
    assert sessions.proves(one, sessions.csrf(one))
    for wrong in (sessions.csrf(other), one, "", "ü"):
        assert not sessions.proves(one, wrong)


def test_the_token_opens() -> None:
    sessions = Sessions(TOKEN, Time())
    assert sessions.opens(TOKEN.decode())
    assert not any(sessions.opens(wrong) for wrong in ("", "ü", TOKEN.decode()[:-1]))
