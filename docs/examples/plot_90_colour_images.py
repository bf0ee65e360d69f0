"""
A folder of colour images
=========================

Convolutional networks on a folder with a subfolder for each class: here the digits of scikit-learn in random colours. The decoder
is told the digit (section 4), so that the code keeps what else there is: colours and handwriting.
"""

# %%
# Any folder of images will do; this one is made here.
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import aae

folder, generator = Path(tempfile.mkdtemp()), np.random.default_rng(0)
for number, (image, digit) in enumerate(zip(*load_digits(return_X_y=True), strict=True)):
    (folder / str(digit)).mkdir(exist_ok=True)
    paper, ink = generator.integers([[0], [130]], [[100], [256]], (2, 3))
    colours = image.reshape(8, 8, 1) / 16 * (ink - paper) + paper
    Image.fromarray(colours.astype(np.uint8)).save(folder / str(digit) / f"{number}.png")

# %%
images = aae.data.load(folder, colour=True).train
rows, digits = images.rows.reshape(len(images), -1), images.labels
convolutions = {"encoder": "conv", "decoder": "conv", "image_shape": (8, 8, 3)}
model = aae.SupervisedAAE(6, **convolutions, epochs=40, learning_rate=0.002, random_state=0).fit(rows, digits)

# %%
model.plot_samples(rows, n=60)

# %%
model.plot_reconstructions(rows[::50], digits[::50], n=12)

# %%
model.plot_interpolation(rows[::50], digits[::50])

# %%
# One content in many styles: a line has the style of the image before it, a column one digit.
sources = rows[::180]
sheet = model.decode(np.repeat(model.transform(sources), 10, axis=0), np.tile(model.classes_, len(sources)))
sheet = sheet.clip(0, 255).reshape(-1, 10, 8, 8, 3) / 255
aae.figures.style_and_content(sheet, sources.reshape(-1, 8, 8, 3) / 255)
