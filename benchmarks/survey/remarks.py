"""The cause of a row's numbers that is no error: why layers are emptied, or why the last total is not R."""

from __future__ import annotations

#: by the name of the model
REMARKS = {
    "efficientvim_m1": "greatest / last: four heads are averaged, so the last one has a quarter of the flow",
    "gmlp_ti16_224": "emptied: the 30 spatial gates, whose biases of one outweigh their weights of 1e-6",
    "levit_128s": "greatest / last: two heads are averaged, so the last one has half of the flow",
    "ssdlite320_mobilenet_v3_large": "greatest / last: each head is an output, and the last layer is in one of them",
    "vit_tiny_patch16_dinov3_qkvb": "greatest / last: without a head, the last layer is in a branch scaled by 1e-5",
}
