"""The default generator's training in miniature: states, processes, kills, sizes, the asset."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import steerbench as sb
from steerbench import image, store
from steerbench.errors import ArgumentError, CheckpointError
from steerbench.training import pictures as shards
from steerbench.training.export import export_generator
from steerbench.training.parallel import launch
from steerbench.training.pictures import Pictures
from steerbench.training.progressive import (
    AdversarialTrainer,
    Architecture,
    Run,
    Settings,
    Stage,
    fast_precision,
    read_state,
    run,
    stages,
    synthesis,
)

TINY = Architecture(8, 8, 2, {4: 8, 8: 8, 16: 4}, {4: 8, 8: 8, 16: 8})
SMALL = (Stage(8, 24, 8), Stage(16, 1000, 8))


def fill(folder: Path, size: int) -> Path:
    """A whole shard of pictures that are squares of one colour each."""
    folder.mkdir()
    colours = np.random.default_rng(0).integers(0, 256, (shards.SHARD, 3, 1, 1), np.uint8)
    pixels = torch.from_numpy(np.broadcast_to(colours, (shards.SHARD, 3, size, size)).copy())
    header = {"world": "squares", "factors": ["none"], "resolution": size}
    tensors = {"pixels": pixels, "factors": torch.zeros(shards.SHARD, 1)}
    store.save(folder / "00000.safetensors", tensors, header)
    return folder


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("squares") / "16", 16)


@pytest.fixture(scope="module")
def first_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state in the layout of the recipe's first script: plain safetensors."""
    torch.manual_seed(0)
    networks = {"g": TINY.generator(), "d": TINY.critic(), "ema": TINY.generator()}
    tensors = {f"{n}.{k}": v for n, net in networks.items() for k, v in net.state_dict().items()}
    for name in ("g", "d"):
        for key, parameter in networks[name].named_parameters():
            moments = {"step": torch.tensor(40.0), "exp_avg": torch.randn_like(parameter)}
            moments["exp_avg_sq"] = torch.rand_like(parameter) + 0.5
            tensors |= {f"{name}_adam.{key}.{what}": v for what, v in moments.items()}
    at = {"seen": 1032, "steps": 129, "stage": 1, "in_stage": 8}
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    save_file({k: v.clone().contiguous() for k, v in tensors.items()}, path, {"at": json.dumps(at)})
    return path


def trainer(squares: Path, start: Path | None, **changes: Any) -> AdversarialTrainer:
    settings = Settings(**({"stages": SMALL, "fade": 0} | changes))
    return AdversarialTrainer(settings, Pictures(squares), start=start)


def test_a_state_of_the_first_script_opens_and_goes_on(squares: Path, first_script: Path) -> None:
    game = trainer(squares, first_script)
    assert game.architecture == TINY
    assert (game.progress.seen, game.progress.stage, game.stage.size) == (1032, 1, 16)
    tensors, _, _ = read_state(first_script)
    assert torch.equal(game.d.fc.weight, tensors["d.fc.weight"])
    moment = game.g_adam.state[game.g.synthesis.b8.conv1.weight]["exp_avg_sq"]
    assert torch.equal(moment, tensors["g_adam.synthesis.b8.conv1.weight.exp_avg_sq"])
    losses = game.step()
    assert all(torch.isfinite(loss) for loss in losses.values())
    assert (game.progress.seen, game.progress.steps) == (1040, 130)
    assert not torch.equal(game.d.fc.weight, tensors["d.fc.weight"])
    assert not torch.equal(game.g.synthesis.b8.conv1.weight, tensors["g.synthesis.b8.conv1.weight"])


def test_the_state_handed_over_draws_its_sheet_and_becomes_the_asset(
    shared_path: Callable[[str], Path], tmp_path: Path
) -> None:
    state = shared_path("training/state.safetensors")
    game = AdversarialTrainer(Settings(), Pictures(fill(tmp_path / "64", 64)), start=state)
    assert game.progress.seen == 1_006_080
    drawn = game.samples()
    sheet = image.to_uint8(image.grid(drawn.clamp(-1, 1), columns=8)[None])[0]
    true = np.asarray(Image.open(shared_path("training/sheet.png")))
    assert np.abs(np.asarray(sheet, int).reshape(true.shape) - true).max() <= 1
    export_generator(state, tmp_path / "rooms.safetensors", note="Streaks remain.")
    rooms = sb.load(tmp_path / "rooms.safetensors")
    assert torch.allclose(rooms.render(rooms.sample(64)), drawn, atol=1e-5)
    assert rooms.discriminator(drawn[:4]).shape == (4,)
    assert rooms.noise_maps()
    assert torch.equal(rooms.network.mapping.w_avg, game.ema.mapping.w_avg)
    training = store.read_header(tmp_path / "rooms.safetensors")["training"]
    assert (training["images"], training["remarks"]) == (1_006_080, ["Streaks remain."])


def test_what_was_interrupted_is_what_went_through(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    whole, part = (trainer(squares, first_script, fade=64) for _ in range(2))
    for _ in range(4):
        whole.step()
    for _ in range(2):
        part.step()
    part.save(tmp_path / "state.safetensors")
    rest = trainer(squares, tmp_path / "state.safetensors", fade=64)
    for _ in range(2):
        rest.step()
    for one, other in ((whole.g, rest.g), (whole.d, rest.d), (whole.ema, rest.ema)):
        for mine, theirs in zip(one.state_dict().values(), other.state_dict().values()):
            assert torch.equal(mine, theirs)


def one_step(squares: Path, start: Path, out: Path) -> None:
    """What a process of the next test does."""
    game = trainer(squares, start)
    game.progress.steps = 0  # a step in which the slopes are penalised
    game.step()
    if game.rank == 0:
        game.save(out)


def test_two_processes_take_the_step_of_one(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    """The codes, the pictures and the critic's groups are the same, only halved."""
    alone, together = tmp_path / "alone.safetensors", tmp_path / "together.safetensors"
    launch(one_step, 1, squares, first_script, alone)
    launch(one_step, 2, squares, first_script, together)
    (one, at, _), (two, also_at, _) = read_state(alone), read_state(together)
    assert at == also_at
    before = read_state(first_script)[0]
    for name, tensor in one.items():
        assert torch.allclose(tensor, two[name], rtol=1e-4, atol=1e-5), name
    moved = [k for k in one if k[:2] in ("g.", "d.") and not torch.equal(one[k], before[k])]
    assert len(moved) > 40


def command(folder: Path, squares: Path, start: Path) -> subprocess.Popen[str]:
    words = "-m steerbench.training progressive --stages 8:64:8,16:100000000:8 --option penalty=0.1"
    paths = ["--folder", folder, "--pictures", squares, "--start", start]
    line = [sys.executable, *words.split(), "--write-minutes", "0.005", *map(str, paths)]
    return subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)


def seen(place: Run) -> int:
    """Pictures seen by the state of a run, which must be readable at any time."""
    return read_state(place.state)[1].seen if place.state.exists() else 0


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not what():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_kill_loses_no_more_than_the_interval_and_ends_all(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    place = Run(tmp_path / "here")
    process = command(place.folder, squares, first_script)
    wait_for(lambda: seen(place) > 1032, process)
    main, first, _ = map(int, place.pids.read_text().split())
    assert main == process.pid
    with pytest.raises(ArgumentError, match="being trained"):
        run(Settings(), place)
    os.kill(first, signal.SIGKILL)
    killed = time.time()
    assert process.wait(120) != 0
    assert process.stderr is not None
    assert "goes on from it" in process.stderr.read()
    assert not place.pids.exists()
    # 0.3 seconds between two states, and room for a busy machine.
    assert killed - place.state.stat().st_mtime < 5
    before = seen(place)
    run(Settings(stages=SMALL), Run(place.folder, squares, minutes=0.01), processes=1)
    assert seen(place) > before > 1032


def test_a_signal_ends_a_run_with_its_state_written(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    place = Run(tmp_path, squares, first_script, minutes=1, write_minutes=1e-4)

    def send() -> None:
        until = time.monotonic() + 50
        while seen(place) <= 1032 and time.monotonic() < until:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    sender = threading.Thread(target=send)
    sender.start()
    began = time.monotonic()
    run(Settings(stages=(SMALL[0], Stage(16, 10**8, 8))), place, processes=1)
    sender.join()
    assert time.monotonic() - began < 50
    assert seen(place) > 1032
    assert list(place.out.glob("sheet-*k.png"))


def test_no_network_that_saw_a_label_takes_part(squares: Path, first_script: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from steerbench.training.pictures import Pictures
from steerbench.training.progressive import AdversarialTrainer, Settings, stages
pictures = Pictures(Path({str(squares)!r}))
settings = Settings(stages=stages("8:24:8,16:1000:8"))
AdversarialTrainer(settings, pictures, start=Path({str(first_script)!r})).step()
taught = ("steerbench.predictors", "steerbench.training.projected_critic", "steerbench.embedding")
print([name for name in sys.modules if name.startswith(taught)])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_minutes_and_a_stop_file_end_a_run_with_its_state_written(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    place = Run(tmp_path / "here", squares, first_script, minutes=0.02)
    place.out.mkdir(parents=True)
    place.stop.touch()  # of an earlier run
    run(Settings(stages=SMALL), place, processes=1)
    seen = read_state(place.state)[1].seen
    assert seen > 1032
    assert not place.stop.exists()
    assert not place.pids.exists()
    sheet = Image.open(place.out / f"sheet-{seen // 1000:06d}k.png")
    assert sheet.size == (8 * 18 + 2, 8 * 18 + 2)


def test_the_exported_picture_is_that_of_its_stage(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    game = trainer(squares, first_script, stages=(Stage(8, 1000, 8), Stage(16, 1000, 8)))
    game.progress.stage = 0
    game.step()
    game.save(tmp_path / "state.safetensors")
    small = export_generator(tmp_path / "state.safetensors", tmp_path / "small.safetensors")
    assert small.render(small.sample(1)).shape == (1, 3, 8, 8)
    assert torch.allclose(small.render(small.sample(9)), game.samples(9), atol=1e-5)
    assert small.discriminator(game.samples(4)).shape == (4,)
    with pytest.raises(ArgumentError, match="fades in"):
        export_generator(first_script, tmp_path / "no.safetensors")


def test_a_size_fades_in_from_what_was_there(squares: Path, first_script: Path) -> None:
    game = trainer(squares, first_script, fade=32)
    assert game.share == 0.5
    ws = torch.randn(3, game.g.synthesis.num_ws, 8)
    with torch.no_grad():
        before, whole = synthesis(game.g, ws, 8), synthesis(game.g, ws, 16)
        enlarged = game.g.synthesis.add(before, torch.zeros_like(whole))
        halfway = synthesis(game.g, ws, 16, 0.5)
    assert torch.allclose(halfway, (enlarged + whole) / 2, atol=1e-5)
    for _ in range(2):
        game.step()
    assert game.share == 1.0


def test_the_last_tenth_closes(squares: Path, first_script: Path) -> None:
    game = trainer(squares, first_script, total=1080)
    assert game.closing == pytest.approx(10 * 1032 / 1080 - 9)
    game.step()
    expected = 2e-3 * (1 - (10 * 1032 / 1080 - 9))
    assert game.g_adam.param_groups[0]["lr"] == pytest.approx(expected)
    assert game.d_adam.param_groups[0]["lr"] == pytest.approx(expected * 16 / 17)
    for _ in range(5):
        game.step()
    assert game.is_over


def test_stages_follow_one_another_from_nothing(squares: Path) -> None:
    stages_of = (Stage(8, 16, 8), Stage(16, 16, 8))
    game = trainer(squares, None, stages=stages_of)
    sizes = []
    while not game.is_over:
        game.step()
        sizes.append(game.stage.size)
    assert sizes == [8, 8, 16, 16]
    assert game.architecture == Architecture.default(16)


def test_what_does_not_go_together_is_refused(
    squares: Path, first_script: Path, tmp_path: Path
) -> None:
    for text in ("16:650000", "16:1:8,64:1:8", "small:1:1"):
        with pytest.raises(ArgumentError, match=r"SIZE:PICTURES:BATCH|double"):
            stages(text)
    with pytest.raises(ArgumentError, match="pictures of the cache end at 16"):
        trainer(squares, None, stages=(Stage(32, 8, 8),))
    with pytest.raises(ArgumentError, match="stage 2, and 1 are named"):
        trainer(squares, first_script, stages=(Stage(8, 8, 8),))
    with pytest.raises(CheckpointError, match="no state of a progressive training"):
        read_state(squares / "00000.safetensors")
    tensors, _, _ = read_state(first_script)
    for lost, message in ((".b8.", "no state of"), ("g.mapping.w_avg", "does not fit")):
        store.save(
            tmp_path / "half", {k: v for k, v in tensors.items() if lost not in k}, {"at": {}}
        )
        with pytest.raises(CheckpointError, match=message):
            trainer(squares, tmp_path / "half")
    with pytest.raises(ArgumentError, match="is not here"):
        fast_precision("tpu")
    with pytest.raises(ArgumentError, match="one sees it all"):
        run(Settings(), Run(tmp_path, device="cuda"), processes=2)
    with pytest.raises(ArgumentError, match="'float32'"):
        trainer(squares, first_script, precision="float3")
    assert stages("8:16:4", batch_size=12) == (Stage(8, 16, 12),)
