"""Profiles: what CATVAE_PROFILE may say, and what it sets."""

import re

import nbformat
import pytest
import torch
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from book import ROOT
from catvae_lib import profiles


def test_every_name_gives_its_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for name, profile in profiles.PROFILES.items():
        monkeypatch.setenv("CATVAE_PROFILE", name)
        assert profiles.current() is profile
        assert profile.name == name


def test_the_default_follows_the_hardware(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CATVAE_PROFILE", raising=False)
    for has_cuda, expected in ((True, "gpu"), (False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda answer=has_cuda: answer)
        assert profiles.current().name == expected


def test_the_cpu_profile_fixes_the_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATVAE_PROFILE", "cpu")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        profiles.current()
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_an_unknown_name_is_told_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATVAE_PROFILE", "laptop")
    with pytest.raises(ValueError, match=r"CATVAE_PROFILE must be one of smoke, cpu, gpu, got 'laptop'"):
        profiles.current()


def test_a_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CATVAE_PROFILE", "gpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        profiles.current()


def test_each_profile_does_more_than_the_one_before() -> None:
    smoke, cpu, gpu = (profiles.PROFILES[name] for name in ("smoke", "cpu", "gpu"))
    for less, more in ((smoke, cpu), (cpu, gpu)):
        assert less.train_images * less.epochs < more.train_images * more.epochs
        assert less.test_images * less.test_samples < more.test_images * more.test_samples


@pytest.mark.xdist_group("notebooks")
@pytest.mark.parametrize("chapter", ["01_gumbel_sampling", "06_training_a_bernoulli_vae"])
def test_a_notebook_says_what_is_allowed_before_it_works_long(
    monkeypatch: pytest.MonkeyPatch, chapter: str
) -> None:
    """A chapter that trains says so in its second cell, one that only draws at its first picture."""
    monkeypatch.setenv("CATVAE_PROFILE", "laptop")
    monkeypatch.delenv("CATVAE_FIGURES", raising=False)
    notebook = nbformat.read(ROOT / "notebooks" / f"{chapter}.ipynb", nbformat.NO_CONVERT)
    with pytest.raises(
        CellExecutionError, match="CATVAE_PROFILE must be one of smoke, cpu, gpu, got 'laptop'"
    ):
        NotebookClient(notebook, timeout=100).execute()


def test_every_chapter_asks_for_the_profile() -> None:
    texts = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("notebooks/source/*.py")}
    assert len(texts) == 14
    assert [
        name for name, text in texts.items() if not re.search(r"profiles\.current|plot\.show", text)
    ] == []
