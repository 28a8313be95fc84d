# syntax=docker/dockerfile:1
# docker build -t clusterdns .
# The entry point takes CoreDNS's flags, so that the image fits where a Deployment passes `-conf /etc/coredns/Corefile`.

FROM python:3.13-slim-bookworm AS build
WORKDIR /src
# --copies: the interpreter of this environment is a file of its own, so that only it can bind port 53.
RUN python -m venv --copies /opt/clusterdns
COPY requirements/build.txt requirements/run.txt requirements/
RUN /opt/clusterdns/bin/pip install --no-cache-dir --require-hashes -r requirements/build.txt -r requirements/run.txt
COPY pyproject.toml README.md LICENSE ./
COPY clusterdns clusterdns
RUN /opt/clusterdns/bin/pip install --no-cache-dir --no-build-isolation --no-deps . \
 && /opt/clusterdns/bin/pip uninstall --yes --quiet -r requirements/build.txt pip \
 && /opt/clusterdns/bin/python -m compileall -q /opt/clusterdns/lib

FROM python:3.13-slim-bookworm
COPY --from=build /opt/clusterdns /opt/clusterdns
# A Pod without root needs the capability on the file: what a runtime adds to the container gets lost at the start of
# an ordinary file, and stays with one that has it, also where allowPrivilegeEscalation is false.
RUN apt-get update \
 && apt-get install -y --no-install-recommends libcap2-bin \
 && setcap cap_net_bind_service=+ep /opt/clusterdns/bin/python3 \
 && apt-get purge -y --auto-remove libcap2-bin \
 && rm -rf /var/lib/apt/lists/* /usr/local/lib/python3.13/ensurepip
ENV PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
EXPOSE 53/udp 53/tcp 9153/tcp
ENTRYPOINT ["/opt/clusterdns/bin/python3", "-I", "-m", "clusterdns"]
