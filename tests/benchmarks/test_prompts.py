"""How long a prompt takes: one step of the optimisation, and a direction in s, quick and exact."""

from __future__ import annotations

import time

import steerbench as sb

PROMPT, NEUTRAL = "a room at night", "a room by day"
CHANNELS = 12


def test_steps_a_second(rooms) -> None:
    clip = sb.clip("rooms-clip")
    walk = sb.LatentOptimiser(clip, PROMPT, n_steps=10).fit(rooms)
    steps = walk.steps(rooms.sample(1, seed=0))
    next(steps)
    start = time.process_time()
    last = list(steps)[-1]
    seconds = time.process_time() - start
    print(f"optimisation: {last.step / seconds:.1f} steps/s of CPU, one picture")
    assert seconds < 60


def test_a_prompt_is_a_direction(rooms) -> None:
    known = sb.GlobalDirections(sb.clip("rooms-clip")).fit(rooms)
    start = time.process_time()
    known.direction(PROMPT, NEUTRAL)
    print(f"direction from measured channels: {1000 * (time.process_time() - start):.1f} ms of CPU")


def test_measuring_channels(rooms) -> None:
    """The estimate of all channels against the exact procedure, of which a few are timed."""
    clip = sb.clip("rooms-clip")
    exact = sb.GlobalDirections(clip, "exact", n_samples=16)
    start = time.process_time()
    for now in exact.steps(rooms, state=""):
        if now.step == CHANNELS:
            break
    each = (time.process_time() - start) / CHANNELS
    fast = sb.GlobalDirections(clip, "fast", n_derivatives=8)
    start = time.process_time()
    fast.fit(rooms, state="")
    seconds = time.process_time() - start
    total = each * len(fast.channels_)
    print(
        f"channels of s: exact {total:.0f} s of CPU (from {CHANNELS} of {len(fast.channels_)}), "
        f"fast {seconds:.0f} s, rank agreement {fast.agreement_:.2f}"
    )
    assert seconds < total
