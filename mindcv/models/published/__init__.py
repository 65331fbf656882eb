"""What is published for each family: addresses, accuracies, preprocessing, licences. One table a family."""
