r"""Evaluate a preset on a data set as its benchmark does.

    KERAS_BACKEND=jax python recipes/evaluate.py --expect 77.76 \
        --preset gss_ff_resnet101_cityscapes \
        --dataset cityscapes --data-dir cityscapes

says whether the published score came out: if not, the exit status is 1.
Photos are segmented whole or in windows as the preset was made, those of
ADE20K and MSeg brought to 2048 x 512 first. `--dataset mseg` evaluates the six
test sets and takes the harmonic mean. Your own photos and their masks of class
ids, `a.jpg` and `a.png`, are given with `--photos` and `--masks`. It is the
same as the command `gss-keras evaluate`.
"""

import sys

from gss_keras import cli

if __name__ == "__main__":
    sys.exit(cli.main(["evaluate", *sys.argv[1:]]))
