r"""Evaluate a preset on a data set as its benchmark does.

    KERAS_BACKEND=jax python recipes/evaluate.py --expect 77.76 \
        --preset gss_ff_resnet101_cityscapes \
        --dataset cityscapes --data-dir cityscapes

checks whether the published score is reproduced: if not, the exit status is 1.
Photos are segmented whole or in sliding windows, as configured in the preset;
those of ADE20K and MSeg are first resized to fit 2048 x 512. `--dataset mseg`
evaluates the six test sets and computes the harmonic mean. For your own photos
and masks of class ids, such as `a.jpg` and `a.png`, use `--photos` and
`--masks`. This is the same as the command `gss-keras evaluate`.
"""

import sys

from gss_keras import cli

if __name__ == "__main__":
    sys.exit(cli.main(["evaluate", *sys.argv[1:]]))
