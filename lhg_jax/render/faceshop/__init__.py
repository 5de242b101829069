"""3DFaceShop: a portrait inverted into a tri-plane generator and rendered from it."""
