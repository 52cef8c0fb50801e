"""The encoder against torchvision's, whose weights it reads."""

import torch
from torchvision.models import resnet50

from mtl_bench.architectures.resnet import ResNetEncoder


def test_features_and_gradients_equal_torchvisions_dilated_resnet50():
    torch.manual_seed(0)
    theirs = resnet50(replace_stride_with_dilation=[False, True, True])
    theirs.avgpool, theirs.fc = torch.nn.Identity(), torch.nn.Identity()
    ours = ResNetEncoder(1.0)
    ours.load_state_dict(theirs.state_dict())
    theirs, ours = theirs.double(), ours.double()
    images = torch.randn(2, 3, 40, 56, dtype=torch.float64)
    features, expected = ours(images), theirs(images)
    torch.testing.assert_close(features.flatten(1), expected)
    features.square().sum().backward()
    expected.square().sum().backward()
    gradients = {name: p.grad for name, p in theirs.named_parameters()}
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, gradients[name], msg=name)
