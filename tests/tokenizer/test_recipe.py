import importlib.util
import pathlib

import pytest

import gss_keras


def test_the_recipe_saves_a_preset(tmp_path, capsys):
    pytest.importorskip("tyro")
    file = pathlib.Path(__file__).parents[2] / "recipes" / "train_tokenizer.py"
    specification = importlib.util.spec_from_file_location("recipe", file)
    recipe = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(recipe)
    folder = tmp_path / "tokenizer"
    recipe.main(recipe.Settings(folder=str(folder), debug=True))
    tokenizer = gss_keras.DiscreteVAE.from_preset(folder)
    assert tokenizer.codebook_size == 162 + 8 + 2 * 32
    assert "234 tokens" in capsys.readouterr().out
