"""What a row does not say itself: why layers are emptied or refused, or why the last total is not R."""

from __future__ import annotations

_HEADS = "greatest / last: each head is an output, and the last layer is in one of them"
#: by the name of the model
REMARKS = {
    "efficientvim_m1": "greatest / last: four heads are averaged, so the last one has a quarter of the flow",
    "fcos_resnet50_fpn": _HEADS,
    "gmlp_ti16_224": "emptied: the 30 spatial gates, whose biases of one outweigh their weights of 1e-6",
    "levit_128s": "greatest / last: two heads are averaged, so the last one has half of the flow",
    "mvit_v2_s": "its output is the class token, whose query is not pooled: the last pool_q is on no path",
    "retinanet_resnet50_fpn": _HEADS,
    "retinanet_resnet50_fpn_v2": _HEADS,
    "sequencer2d_s": "emptied: the head, zero at first, has equal scores and goes at once; a random head stays",
    "ssd300_vgg16": f"{_HEADS}; SNIP, GraSP: no box matches the smallest maps, which the loss leaves out",
    "ssdlite320_mobilenet_v3_large": _HEADS,
    "vit_tiny_patch16_dinov3_qkvb": "greatest / last: without a head, the last layer is in a branch scaled by 1e-5",
}
