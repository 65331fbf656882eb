"""What the networks of all families do alike: pooling, dropout and a last layer behind their feature maps."""

from typing import Any

from mindspore import Tensor, nn

from .layers import GlobalAvgPooling, check_rate, classifier_head


class ImageClassifier(nn.Cell):
    """The base of the networks: (N, in_channels, H, W) to (N, num_classes).

    A family builds its cells, ends its constructor with `add_head`, and adds `feature_info`, `forward_features` and
    `group_matcher`. One with another head replaces `forward_head` and what belongs to it.

    Attributes:
        num_classes: Classes of the head; 0 without one.
        num_features: Channels of the last feature map.
        feature_info: A feature map each: `{"name": cell, "chs": channels, "reduction": input side / map side}`.
    """

    num_classes: int
    num_features: int
    feature_info: list[dict[str, Any]]

    def add_head(self, num_features: int, num_classes: int, drop_rate: float) -> None:
        """Adds the cells behind the last feature map; to be called when all others are there (`features_only`).

        Args:
            num_features: Channels of the last feature map.
            num_classes: Number of classes; 0 leaves the last layer out.
            drop_rate: Dropout before the last layer.

        Raises:
            ValueError: The rate or the number of classes cannot be.
        """
        self.num_features = num_features
        self.num_classes = num_classes
        self.pool = GlobalAvgPooling()
        self.dropout = nn.Dropout(p=check_rate("drop_rate", drop_rate))
        self.classifier = classifier_head(num_features, num_classes)

    def forward_features(self, x: Tensor) -> Tensor:
        """Returns the last feature map: (N, in_channels, H, W) to (N, num_features, h, w)."""
        raise NotImplementedError(f"{type(self).__name__} has no forward_features")

    def forward_head(self, x: Tensor) -> Tensor:
        """Returns the logits of a feature map: (N, num_features, h, w) to (N, num_classes)."""
        return self.classifier(self.dropout(self.pool(x)))

    def construct(self, x: Tensor) -> Tensor:
        return self.forward_head(self.forward_features(x))

    def get_classifier(self) -> nn.Cell:
        """Returns the last layer."""
        return self.classifier

    def reset_classifier(self, num_classes: int) -> None:
        """Replaces the last layer by a fresh one for `num_classes`; 0 leaves it out."""
        self.classifier = classifier_head(self.num_features, num_classes)
        self.num_classes = num_classes
        self.compile_cache.clear()  # graph mode would run the old head

    def no_weight_decay(self) -> set[str]:
        """Returns names of parameters that must not decay, beyond norms and biases."""
        return set()
