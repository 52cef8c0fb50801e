# The program with tested versions, on a CPU:
#   docker build -t mtl_bench . && docker run -v "$PWD/out:/out" mtl_bench \
#     train dataset=pendulum6 method=pcgrad profile=mini paths.results=/out
FROM python:3.12-slim
WORKDIR /opt/mtl_bench
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY configs configs
COPY results/published results/published
COPY mtl_bench mtl_bench
RUN pip install --no-cache-dir --constraint constraints.txt --editable '.[qm9,vision,report]'
ENTRYPOINT ["mtl-bench"]
CMD ["--help"]
