import pytest

from lhg_jax import doctor, faces, licences
from lhg_jax.licences import choices, verdict
from lhg_jax.render import RENDERERS
from lhg_jax.restore import RESTORERS
from lhg_jax.util.errors import UserError


def test_every_choice_of_a_command_has_an_answer():
    assert licences.TRACKERS.keys() == faces.POINTS.keys()
    assert licences.RENDERERS.keys() == RENDERERS.keys()
    assert licences.RESTORERS.keys() == RESTORERS.keys()


@pytest.mark.parametrize(
    ("chosen", "answer"),
    [
        (("dlib", "mesh", "none"), "no: --tracker dlib (68 landmarks"),
        (("tddfa", "mesh", "none"), "yes, by the licences"),
        (("tddfa", "liveportrait", "none"), "yes, by the licences"),
        (("tddfa", "pirenderer", "none"), "no: --renderer pirenderer"),
        (("tddfa", "faceshop", "none"), "ask the authors: --renderer faceshop"),
        (("tddfa", "mesh", "rvrt"), "no: --restore rvrt"),
    ],
)
def test_answers(chosen, answer):
    assert f": {answer}" in verdict(choices(*chosen))


def test_the_way_out_is_named():
    assert "instead: --tracker tddfa" in verdict(choices("dlib", "mesh", "none"))


def test_doctor_answers_for_the_chosen_stages(monkeypatch, capsys):
    arguments = ["doctor", "--tracker", "tddfa", "--renderer", "liveportrait"]
    monkeypatch.setattr("sys.argv", arguments)
    doctor.main()
    *_, licence, _ = capsys.readouterr().out.splitlines()
    assert licence.startswith(
        "commercial use with --tracker tddfa --renderer liveportrait --restore none: yes"
    )
    monkeypatch.setattr("sys.argv", ["doctor", "--renderer", "other"])
    with pytest.raises(UserError, match="unknown renderer 'other'"):
        doctor.main()
