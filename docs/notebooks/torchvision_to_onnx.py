# %% [markdown]
# # From torchvision to ONNX
#
# A network of torchvision's is pruned to half of its operations, trained a little, saved, timed, and exported to ONNX.
# Nothing is downloaded: the images are scikit-learn's handwritten digits, and the network is trained here first. With a
# network and images of your own, begin at "Prune".
#
# This page is a notebook, `docs/notebooks/torchvision_to_onnx.ipynb`, made from the script of the same name beside it.
# Everything together takes a few minutes on one CPU core.

# %%
from pathlib import Path

import numpy as np
import onnxruntime
import sacp
import torch
import torchvision
from PIL import Image
from sklearn.datasets import load_digits

FOLDER = Path("results/torchvision_to_onnx")
SIZE = 32  # pixels of a side
TRAINING_IMAGES, TEST_IMAGES = 1400, 397
torch.manual_seed(0)

# %% [markdown]
# ## Images
#
# `sacp.data` reads a folder with `train/` and `val/`, and in each a folder of image files for every class. The images
# in `val/` are the test images. The digits are scaled from 8 to 32 pixels.

# %%
digits = load_digits()
for number, (pixels, label) in enumerate(zip(digits.images, digits.target, strict=True)):
    if number < TRAINING_IMAGES + TEST_IMAGES:
        part = "train" if number < TRAINING_IMAGES else "val"
        path = FOLDER / "digits" / part / f"class{label}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((pixels * 15).astype(np.uint8)).convert("RGB").resize((SIZE, SIZE)).save(path)

data = sacp.data(FOLDER / "digits", image_size=SIZE, resize=SIZE)
print(data.classes, "classes, images of the shape", data.shape)

# %% [markdown]
# ## A network
#
# ResNet-18 as torchvision has it, trained from random weights. Yours is trained already.

# %%
network = torchvision.models.resnet18(num_classes=data.classes)
before = sacp.train(network, data, epochs=20, lr=0.05, batch_size=64)
print(f"{before['test_accuracy_percent']:.1f} % of the test images are recognised")

# %% [markdown]
# ## Prune
#
# Half of the multiply-accumulates may stay. Because images are given, widths and channels are chosen by how much the
# logits depend on each channel (`sensitivity`). `calibrate` fits the batch norms of the result to the same images.
# `report=print` shows what has become of every layer. `network` itself is not changed.

# %%
images = data.batches(500)
smaller = sacp.prune(network, data.shape, flops=0.5, images=images, calibrate=images, report=print)

# %% [markdown]
# ## Train a little
#
# The result has inherited its weights; a short training gets back a part of what was lost, and a longer one more. The
# unpruned network is its teacher.

# %%
after = sacp.train(smaller, data, epochs=8, lr=0.01, batch_size=64, teacher=network)
print(f"{after['test_accuracy_percent']:.1f} % of the test images are recognised")

# %% [markdown]
# ## Save and load
#
# Two files, the weights and a description. No code is run when they are loaded.

# %%
sacp.save(smaller, FOLDER / "smaller")
loaded = sacp.load(FOLDER / "smaller")
example = torch.randn(4, *data.shape[1:])
print("the same logits:", torch.equal(loaded(example), smaller.eval()(example)))

# %% [markdown]
# ## How much faster?
#
# Both networks are run in turns, so that other load of the machine slows both alike. Half of the operations is not half
# of the time: `docs/latency.md` says why.

# %%
for row in sacp.latency(loaded, data.shape, original=network, batches=[1, 32], runtimes=["eager"], threads=1):
    quartiles = f"{row.speedup_lower:.2f} to {row.speedup_upper:.2f}"
    print(f"{row.batch} images at once: {row.speedup:.2f} times as fast ({quartiles})")

# %% [markdown]
# ## Export to ONNX
#
# The exported file is read again and compared with the network before it is kept. It needs neither PyTorch nor sacp,
# and takes batches of any size.

# %%
sacp.export(loaded, FOLDER / "exported", data.shape, formats=["onnx"])

# %% [markdown]
# Any runtime of ONNX can run it:

# %%
session = onnxruntime.InferenceSession(FOLDER / "exported/network.onnx")
(name,) = [given.name for given in session.get_inputs()]
(logits,) = session.run(None, {name: example.numpy()})
print("largest difference:", f"{np.abs(logits - loaded(example).detach().numpy()).max():.0e}")
