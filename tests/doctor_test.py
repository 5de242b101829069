import dataclasses

from lhg_jax import doctor


def test_report_names_versions_devices_codecs_extras_and_licences(capsys):
    doctor.main()
    report = capsys.readouterr().out
    for text in ("lhg_jax", "jaxlib", "cpu", "libx264", "pipeline", "face landmarks", "research use only"):
        assert text in report


def test_missing_package_is_named(monkeypatch, capsys):
    monkeypatch.setitem(doctor.EXTRAS, "train", ("grain", "no_such_package"))
    assert doctor.missing_packages("train") == ["no_such_package"]
    doctor.main()
    assert "pip install '.[train]'" in capsys.readouterr().out


def test_missing_weights_are_seen():
    weights = doctor.WEIGHTS[1]
    assert weights.found()
    assert not dataclasses.replace(weights, file="models/none.dat").found()
    assert not dataclasses.replace(weights, package="no_such_package").found()
