# CPU image: docker build -t lhg_jax . && docker run --rm -v "$PWD:/data" lhg_jax \
#   --speaker /data/talk.mp4 --listener /data/face.png --output /data/out.mp4
FROM python:3.11-slim
WORKDIR /opt/lhg_jax
COPY setup.py pyproject.toml constraints.txt README.md ./
COPY lhg_jax lhg_jax
RUN pip install --no-cache-dir -c constraints.txt '.[pipeline]'
ENTRYPOINT ["python", "-m", "lhg_jax.sample"]
