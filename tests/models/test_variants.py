import pytest
from tiny import tiny_tokenizer

import gss_keras
from gss_keras.models import variants

pytestmark = pytest.mark.any_backend


@pytest.mark.parametrize("name", variants.VARIANTS)
def test_a_posterior_of_a_variant_follows_the_table(name):
    variant = variants.find(name)
    posterior = gss_keras.LatentPosterior.from_variant(
        name, 4, tiny_tokenizer()
    )
    assert bool(posterior.token_choice) == variant.is_palette_learned
    built = gss_keras.LatentPosterior(
        posterior.palette, posterior.tokenizer, variant.inverse
    )
    assert type(posterior.inverse) is type(built.inverse)
    # Letters of the names: X, then X^-1, free of training or trained.
    assert variant.is_palette_learned == (name[0] == "t")
    assert bool(built.inverse.trainable_variables) == (name[1] == "t")
    assert (variant.trained_on is None) == ("t" not in name)


def test_only_an_inverse_trained_on_predictions_comes_after_the_prior():
    late = {
        name
        for name, variant in variants.VARIANTS.items()
        if variant.first_inverse != variant.inverse
    }
    assert late == {"ft-w"}


def test_an_unknown_variant_is_refused():
    with pytest.raises(ValueError, match="`variant` must be one of"):
        variants.find("fx")
